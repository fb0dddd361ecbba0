"""The search for a base rate on a compiled Keras model."""
