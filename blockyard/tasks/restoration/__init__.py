"""Restoration: from a damaged picture to the picture."""

from blockyard.tasks.restoration.task import ImageRestoration

__all__ = ["ImageRestoration"]
