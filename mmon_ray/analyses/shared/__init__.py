"""What several analyses have in common: targets, facets, slices."""
