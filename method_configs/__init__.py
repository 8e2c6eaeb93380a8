"""The registered methods, one file each: numbers and choices, no logic."""
