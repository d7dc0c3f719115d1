"""Small models: forecasts, random cut forests, embeddings."""
