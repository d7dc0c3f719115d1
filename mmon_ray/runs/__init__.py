"""Runs: from an hour of records to a report that everyone concerned has been sent."""
