"""Rotations, projections, colours: functions of numbers that know nothing of hands."""
