"""Features made elsewhere into a store, and a store's features out to other programs."""

from grjca.exchange.exporting import export_features
from grjca.exchange.importing import import_features

__all__ = ["export_features", "import_features"]
