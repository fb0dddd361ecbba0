"""Pictures of what searches found: one rate, or a rate for every band."""
