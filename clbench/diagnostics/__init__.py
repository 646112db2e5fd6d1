"""What the papers look at to explain themselves, measured where one stage meets the next."""
