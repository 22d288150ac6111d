"""Events, post-processing and SzCORE's scores."""
