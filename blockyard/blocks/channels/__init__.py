"""Blocks that weigh or mix channels."""
