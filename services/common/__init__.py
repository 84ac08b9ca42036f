"""What every service shares. Nothing here knows a project, a file, a dataset, a model, a run or an export."""
