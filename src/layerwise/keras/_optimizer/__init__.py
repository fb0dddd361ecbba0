"""What applies a rate to each variable: the optimizer."""
