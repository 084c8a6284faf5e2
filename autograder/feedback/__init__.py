"""What students read, and the class table that staff read."""
