"""Linear classifiers computed from sums over seconds."""
