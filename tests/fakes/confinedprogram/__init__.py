"""A confined program that does what its job says."""
