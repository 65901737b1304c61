"""What stands in front of a network, or lets it see frame by frame."""
