"""Metrics of predictions, labels and facets."""
