"""The catalog: what the store holds besides rows and history."""
