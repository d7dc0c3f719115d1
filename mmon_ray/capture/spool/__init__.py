"""The spool: node-local files between the replica and the store, and the actor that uploads them."""
