"""Trained models against annotations: scores, stress, submissions; reads checkpoints and stores."""
