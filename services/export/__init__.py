"""Export: weights to take away, with a manifest that says where they come from.

Owns exports. Asks training (runs and their adapters), dataset (its documents) and hardware (where the base model is).
Tells export.ready and export.deleted. One Job per export does the work, under the same worker contract as a run's.
"""
