"""Capture within a Ray Serve replica: the wrapper of a deployment, and how its calls are observed."""
