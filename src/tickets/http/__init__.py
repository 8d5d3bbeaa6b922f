"""What surrounds every operation, whatever it does."""
