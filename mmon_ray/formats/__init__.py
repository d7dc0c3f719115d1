"""Other monitors' file formats, one module each; the core knows nothing of them."""
