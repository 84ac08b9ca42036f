"""Faults that a run survives: each ends in one state, with at most one live trainer and no point lost or doubled."""
