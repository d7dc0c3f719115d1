"""The embedded demonstration: a real model on Ray Serve, a normal hour, a broken one, and what the monitor says."""
