"""Rules about replies, examples, splits and frozen files. Pure."""
