"""The HDF5 feature store: layout, keys, atomic writing, partial reading."""

from grjca.cache.records import ClipFeatures
from grjca.cache.store import FeatureStore

__all__ = ["ClipFeatures", "FeatureStore"]
