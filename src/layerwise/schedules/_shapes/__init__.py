"""The shapes of schedules; each formula is written once."""
