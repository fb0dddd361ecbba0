"""The private parts of Keras that Layerwise leans on, and nothing else."""
