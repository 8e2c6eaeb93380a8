"""Hands as files: meshes with a texture baked from a trained field, and rigs."""
