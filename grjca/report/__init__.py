"""Plots of predictions and of training."""
