"""What holds for every test: the backend asked for, and the same examples in each run."""

import os
import sys

import pytest
from hypothesis import settings

# Before any test imports a framework. tests/run_legs.py chooses the backend of its legs.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# No random seed and no memory of earlier runs; no deadline either, a first call may compile.
settings.register_profile("layerwise", derandomize=True, database=None, deadline=None)
settings.load_profile("layerwise")


def pytest_report_header() -> str:
    return f"Keras backend: {os.environ['KERAS_BACKEND']}"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """A leg must not pass on another backend than its own, say because of a user's keras.json."""
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() != os.environ["KERAS_BACKEND"]:
        pytest.exit(
            f"Keras runs on {keras.backend.backend()}, not on {os.environ['KERAS_BACKEND']}", 1
        )
