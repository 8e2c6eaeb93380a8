"""What a capture is, and the layouts in which captures lie on a disk."""
