"""The embedded input of ``make demo``: synthetic talking-face clips with known labels."""
