"""Strategies: one file for each way in which a model gives its own multipliers."""
