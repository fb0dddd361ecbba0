"""How deep each parameter lies, by the parameters' names."""
