"""One picture to one hand: the network's layers, and what its numbers mean in the camera's frame."""
