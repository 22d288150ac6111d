"""The structure of HDF5 files."""
