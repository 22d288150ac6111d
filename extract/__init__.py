"""Recordings to embeddings: the only package that knows EEG files and the encoder."""
