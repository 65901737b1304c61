"""Searching for networks that are small and good at once: what may be chosen, by what strategy, what came of it."""
