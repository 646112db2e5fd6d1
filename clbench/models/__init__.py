"""Reference networks, one family per file, and the classifiers that go on top."""
