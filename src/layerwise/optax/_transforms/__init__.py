"""What applies the rates: gradient transformations."""
