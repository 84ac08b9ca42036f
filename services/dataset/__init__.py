"""Dataset: training examples written by an LLM from chunks, checked, reviewed and frozen.

Owns LLM endpoints, datasets, examples and the record of every call to an LLM. Asks ingest (chunks) and the LLM. Tells
dataset.ready and dataset.deleted.
"""
