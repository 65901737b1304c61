"""Data sets of multi-channel series."""
