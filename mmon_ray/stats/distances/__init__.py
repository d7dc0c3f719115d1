"""Distances between two distributions, and how surprising they are."""
