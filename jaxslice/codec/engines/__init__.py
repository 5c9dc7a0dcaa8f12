"""What runs the march: each engine makes the same bytes."""
