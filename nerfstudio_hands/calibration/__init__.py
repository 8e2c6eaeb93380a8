"""Calibrations of cameras: read, found out, made."""
