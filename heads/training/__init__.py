"""Training of many heads in one pass over the features."""
