"""Detectors: the encoder, the final head and the post-processing of a run, on files and on a stream of samples."""
