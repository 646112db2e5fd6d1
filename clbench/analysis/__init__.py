"""Results → plain data: estimates, leaderboards. Knows nothing of how anything is printed."""
