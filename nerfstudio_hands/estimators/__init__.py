"""What one pass of a network says of joints or pictures."""
