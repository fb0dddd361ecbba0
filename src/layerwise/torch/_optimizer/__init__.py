"""What Layerwise hooks into an optimizer, and its state."""
