"""Scores, and what people look at."""
