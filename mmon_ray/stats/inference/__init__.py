"""Tests, intervals and standard errors."""
