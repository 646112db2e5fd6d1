"""Plain implementations of methods a second time, from their papers; they use nothing of ``strategies``."""
