"""What goes around a whole stage of a network and runs its units in another way."""
