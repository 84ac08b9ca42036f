"""Training: fine-tuning runs, their curves, reports and artifacts.

Owns runs. Asks dataset (frozen versions) and hardware (models, memory). Tells run.finished and run.deleted. One Job per
run does the work; this service launches it, answers it and keeps what it reports.
"""
