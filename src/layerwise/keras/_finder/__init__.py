"""The searches for rates on a compiled Keras model: ``find_lr`` and ``find_rates``."""
