"""What applies the rates: a scheduler in closed form."""
