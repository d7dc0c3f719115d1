"""The recorder: from an observed call to a line of JSON."""
