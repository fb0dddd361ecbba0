"""The array libraries that a schedule is computed in, one a file."""
