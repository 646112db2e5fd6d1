"""Many runs as one piece of work: choosing settings."""
