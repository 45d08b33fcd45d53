"""Readers of annotations, and splits into training and validation."""
