"""Parameter groups, made from rules."""
