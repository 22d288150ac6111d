"""HDF5 files as others may have made them."""
