"""Probes: where to train them, and what their losses say."""
