"""The documentation's own code: what makes its generated pages."""
