"""Data sets as their authors ship them: what is there, whose it is, which seizures are annotated."""
