"""A rate for every layer: few directions, compared on data that was held out."""
