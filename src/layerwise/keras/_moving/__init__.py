"""What moves while an optimizer trains: factors on rates, hyperparameters, and what it counts."""
