"""Attention within windows, relative positions and subspaces."""
