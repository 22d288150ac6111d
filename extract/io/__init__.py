"""EEG files and BIDS data sets: find, read, derive channels, cut into windows."""
