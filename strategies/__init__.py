"""The catalogue of strategies: one method per file; files that begin with ``_`` hold shared maths."""
