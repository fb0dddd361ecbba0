"""Schedules that a metric moves, and the decision when it does."""
