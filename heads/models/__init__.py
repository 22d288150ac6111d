"""Heads: features of a window to a logit for each second."""
