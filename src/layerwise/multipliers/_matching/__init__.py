"""How the keys of rules match the names of parameters."""
