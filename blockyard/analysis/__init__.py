"""What can be asked of a network: the graphs that its blocks see, and what its frozen features are worth."""
