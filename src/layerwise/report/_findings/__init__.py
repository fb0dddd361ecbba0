"""What was found before training: a rate, or a rate for every band."""
