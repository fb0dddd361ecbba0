"""The search for a base rate in PyTorch."""
