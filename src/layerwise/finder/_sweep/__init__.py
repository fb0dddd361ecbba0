"""The sweep over rates: when it ends, and what its curve says."""
