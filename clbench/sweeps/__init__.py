"""Many runs as one piece of work: plans, workers, choosing settings."""
