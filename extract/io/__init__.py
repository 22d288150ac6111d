"""EEG files and BIDS data sets: found, read, derived, cut into windows."""
