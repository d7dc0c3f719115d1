"""Records: captured lines as rows, hour by hour, and the other sources that rows come from."""
