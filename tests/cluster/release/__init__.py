"""The chart, installed into the bed's cluster, with real stores beside it."""
