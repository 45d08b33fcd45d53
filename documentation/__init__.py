"""What the pages of the documentation need while they are built; no part of the package."""
