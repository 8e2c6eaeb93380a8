"""Hands that move: pose tracks, what lies between their keys, and their files."""
