"""History: what is kept of the past, rolled up by the day, and what can be asked of it."""
