"""What the pixels of a camera see: faces, values of the surface there, silhouettes that carry gradients."""
