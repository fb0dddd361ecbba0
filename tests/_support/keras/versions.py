"""What only a newer Keras has: tests of it are skipped on an older one, and say so."""

import keras
import pytest

INSTALLED = tuple(int(part) for part in keras.__version__.split(".")[:2])


def since(major: int, minor: int) -> pytest.MarkDecorator:
    """Skips a test on an older Keras."""
    return pytest.mark.skipif((major, minor) > INSTALLED, reason=f"Keras {major}.{minor} has it")
