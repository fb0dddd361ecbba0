"""How deep each parameter of a model lies."""
