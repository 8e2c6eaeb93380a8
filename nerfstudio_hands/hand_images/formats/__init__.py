"""One reader a published layout of labelled pictures."""
