"""Hands from joints: triangulated ones with their detections, or given ones of thousands of frames."""
