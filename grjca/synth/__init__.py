"""Made-up sets of features and labels whose every property is known."""
