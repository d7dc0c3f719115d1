"""Payloads: what a request and a prediction look like when they are recorded."""
