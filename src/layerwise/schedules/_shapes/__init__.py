"""The shapes of schedules, each formula written once."""
