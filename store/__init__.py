"""The feature store: one HDF5 file a subject. Loads no torch."""

from store.interop.join import open_stores
from store.layout import dequantize
from store.reader import Store
from store.reader import open_store as open
from store.runtime.errors import StoreError
from store.schema import Event, FeatureSpec, LeftOut, RecordingInfo, Source

__all__ = [
    "Event",
    "FeatureSpec",
    "LeftOut",
    "RecordingInfo",
    "Source",
    "Store",
    "StoreError",
    "dequantize",
    "open",
    "open_stores",
]
