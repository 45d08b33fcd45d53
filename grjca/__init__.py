"""Videos of people into features, features into continuous valence and arousal.

    import grjca

    grjca.extract(["videos"], "features")
    grjca.train("features", "labels.csv", "run")
    grjca.predict(["new.mp4"], "run", "predictions")

The names below are loaded when they are first used, so that importing the package is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grjca.api import train
    from grjca.cache.store import FeatureStore
    from grjca.errors import GrjcaError, UsageError
    from grjca.evaluation.run import evaluate, submit
    from grjca.exchange import export_features, import_features
    from grjca.fusion.config import FusionConfig
    from grjca.fusion.data_config import DataConfig
    from grjca.fusion.model import FusionModel
    from grjca.fusion.train_config import TrainConfig
    from grjca.pipeline.batch import extract
    from grjca.pipeline.config import ExtractConfig
    from grjca.predicting import PredictResult, ReportConfig, predict
    from grjca.reporting import MakeResult, make_report

__version__ = "0.1.0"

_HOMES = {
    "extract": "grjca.pipeline.batch",
    "train": "grjca.api",
    "predict": "grjca.predicting",
    "make_report": "grjca.reporting",
    "evaluate": "grjca.evaluation.run",
    "submit": "grjca.evaluation.run",
    "PredictResult": "grjca.predicting",
    "ReportConfig": "grjca.predicting",
    "MakeResult": "grjca.reporting",
    "import_features": "grjca.exchange",
    "export_features": "grjca.exchange",
    "FeatureStore": "grjca.cache.store",
    "ExtractConfig": "grjca.pipeline.config",
    "DataConfig": "grjca.fusion.data_config",
    "TrainConfig": "grjca.fusion.train_config",
    "FusionConfig": "grjca.fusion.config",
    "FusionModel": "grjca.fusion.model",
    "GrjcaError": "grjca.errors",
    "UsageError": "grjca.errors",
}

__all__ = [
    "DataConfig",
    "ExtractConfig",
    "FeatureStore",
    "FusionConfig",
    "FusionModel",
    "GrjcaError",
    "MakeResult",
    "PredictResult",
    "ReportConfig",
    "TrainConfig",
    "UsageError",
    "evaluate",
    "export_features",
    "extract",
    "import_features",
    "make_report",
    "predict",
    "submit",
    "train",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)
