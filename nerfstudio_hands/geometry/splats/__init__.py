"""Gaussians in space drawn as a picture, with gradients."""
