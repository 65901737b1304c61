"""People found again."""
