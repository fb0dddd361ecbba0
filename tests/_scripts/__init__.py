"""What the tests run in a process of its own, each by ``python -m``."""
