"""All fusions, seeds and folds beside each other, and how sure their differences are."""
