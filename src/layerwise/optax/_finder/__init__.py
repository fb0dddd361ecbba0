"""The searches for rates in Optax: ``find_lr`` and ``find_rates``."""
