"""Rotations, projections, colors: functions of numbers that know nothing of hands."""
