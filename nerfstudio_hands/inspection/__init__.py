"""What `ns-hands check` shows of a capture and its fit."""
