"""Hands refined until their silhouettes meet the boundaries of masks."""
