"""Where else the rows of a record can go."""
