"""Conversations as a model sees them: rows of a dataset, chat templates, labelled tokens.

The trainer learns from what this makes, and what is shown and checked before a run is made by the same code. Nothing
here needs torch or transformers.
"""
