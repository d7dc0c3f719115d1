"""Explaining a model: Shapley values of a function or of a served model."""
