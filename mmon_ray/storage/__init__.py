"""The stores: a local folder, an S3 bucket. `store.open_store` chooses."""
