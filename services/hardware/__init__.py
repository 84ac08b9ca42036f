"""Hardware: machines and base models, and what fits where.

Owns models: where each comes from, its pinned revision, its files' hashes, its tokenizer. Asks the driver and the
control groups of this machine, and a hub if that is allowed. Tells model.ready. Loads no weights: sizes come from
config.json and the headers of safetensors files.
"""
