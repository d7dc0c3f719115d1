"""Files and frames of rows as Arrow tables of one schema."""
