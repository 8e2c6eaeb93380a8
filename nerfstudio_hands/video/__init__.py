"""Pictures that move: camera paths, and the film."""
