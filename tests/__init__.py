"""The tests, by part. `make test` runs them; so does pytest with KERAS_BACKEND set."""
