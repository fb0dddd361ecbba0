"""The search for a base rate in Optax."""
