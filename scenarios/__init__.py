"""The catalogue of scenarios: one family per file, with its standard recipe."""
