"""Spatial filters of many heads at once, in torch and compiled."""
