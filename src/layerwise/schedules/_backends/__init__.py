"""The array libraries that a schedule can be computed in, one a file."""
