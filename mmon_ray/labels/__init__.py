"""Labels: stored, read, and joined with the predictions that they belong to."""
