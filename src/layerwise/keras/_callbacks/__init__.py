"""Callbacks that follow a training batch by batch."""
