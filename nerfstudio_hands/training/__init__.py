"""Trainer, pipeline and configuration of a run."""
