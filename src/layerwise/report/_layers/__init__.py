"""Pictures of layers over the steps: their rates, and update-to-weight ratios."""
