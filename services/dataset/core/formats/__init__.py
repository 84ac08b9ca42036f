"""The forms in which others write down training examples, read and written. Pure."""
