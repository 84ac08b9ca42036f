"""The services of FineTuneFlow: programs, not a library."""
