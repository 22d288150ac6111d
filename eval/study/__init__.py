"""``python -m eval.study``: encoders, features and heads beside each other, from EEG to a table."""
