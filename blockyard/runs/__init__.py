"""What a run is, from its first step to its record: its configuration, how far it is, its best so far."""
