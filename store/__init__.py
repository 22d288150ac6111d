"""The feature store: one HDF5 file a subject. Loads no torch."""

from store.reader import Store
from store.reader import open_store as open
from store.schema import Event, FeatureSpec, RecordingInfo, StoreError

__all__ = ["Event", "FeatureSpec", "RecordingInfo", "Store", "StoreError", "open"]
