"""What a metric decides in Keras: its state, and the callback that reports it."""
