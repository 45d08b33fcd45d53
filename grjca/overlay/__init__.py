"""Predictions drawn into the video they were made from."""
