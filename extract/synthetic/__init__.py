"""A signal model of EEG with seizures."""
