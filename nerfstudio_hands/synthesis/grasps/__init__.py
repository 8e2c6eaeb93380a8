"""Grasps of things of many kinds and sizes: what is held, how grasps are found, and the pool of those that were."""
