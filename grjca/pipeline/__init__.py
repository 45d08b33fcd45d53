"""One clip through the stages, and many clips through one or several processes."""
