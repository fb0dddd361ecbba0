"""What else may get the rows of a record."""
