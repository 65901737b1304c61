"""Data sets of people seen by several cameras."""
