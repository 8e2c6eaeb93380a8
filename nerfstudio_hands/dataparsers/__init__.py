"""Readers of capture formats, one file a format, each yielding the same record (capture.py)."""
