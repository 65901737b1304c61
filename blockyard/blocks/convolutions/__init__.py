"""What stands in place of a convolution."""
