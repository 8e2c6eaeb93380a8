"""Light from far away, and the shadow that a surface casts on itself."""
