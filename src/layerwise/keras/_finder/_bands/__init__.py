"""A rate for each band of layers, while a search trains a model."""
