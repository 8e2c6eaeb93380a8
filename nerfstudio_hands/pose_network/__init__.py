"""From 21 joints to a posed hand by one pass of a graph network over the template's mesh (after FMHR)."""
