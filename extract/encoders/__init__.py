"""Encoders by name: windows of microvolts to features."""
