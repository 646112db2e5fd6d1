"""Plain data → text: tables in every format, progress. No arithmetic that is not layout."""
