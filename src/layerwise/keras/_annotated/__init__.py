"""Layers with a multiplier of their own: how it is written on them, kept and read."""
