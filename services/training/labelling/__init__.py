"""The program that looks at a dataset as a model sees it, a process of its own: template and dataset are strangers'."""
