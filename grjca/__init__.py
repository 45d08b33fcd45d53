"""Videos of people into features, features into continuous valence and arousal."""

__version__ = "0.1.0"
