"""The recorder of a plain training loop."""
