"""A study: every plug of a list with every backbone and every seed over one base configuration."""
