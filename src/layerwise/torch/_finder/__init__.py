"""The searches for rates in PyTorch: ``find_lr`` and ``find_rates``."""
