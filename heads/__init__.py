"""Heads on stored features: folds, training, run folders."""
