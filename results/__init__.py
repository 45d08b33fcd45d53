"""The evidence of docs/results.md: ``python -m results NAME``."""
