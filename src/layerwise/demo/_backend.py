"""Which framework Keras runs on, decided before Keras is imported."""

import os
import sys
from enum import StrEnum
from importlib.util import find_spec

from layerwise.errors import LayerwiseError


class Backend(StrEnum):
    """A framework under Keras."""

    JAX = "jax"
    TENSORFLOW = "tensorflow"
    TORCH = "torch"


# What the demo imports, and how an installer calls it.
_PACKAGES = {"keras": "keras", "mlxtend": "mlxtend", "scipy": "scipy", "sklearn": "scikit-learn"}

# What a user has set stays. The network is small: threads of Torch would wait for each other
# more than they work, above all beside other programs. oneDNN gains nothing here, and TensorFlow
# announces it on stderr, even where it is only installed beside the chosen framework.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def use_backend(backend: Backend) -> None:
    """Make Keras run on this framework from its first import on.

    Args:
        backend: The framework; it has to be installed.

    Raises:
        LayerwiseError: Something that the demo needs is not installed, or Keras already runs on
            another framework, which it can't change within a process.
    """
    needed = {**_PACKAGES, backend.value: backend.value}
    missing = [name for module, name in needed.items() if find_spec(module) is None]
    if missing:
        extras = "demo" if backend is Backend.JAX else f"demo,{backend.value}"
        raise LayerwiseError(
            f"The demo needs {', '.join(missing)}, not installed here: "
            f'pip install "layerwise[{extras}]"'
        )
    keras = sys.modules.get("keras")
    if keras is None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        os.environ["KERAS_BACKEND"] = backend.value
    elif keras.backend.backend() != backend.value:
        raise LayerwiseError(
            f"Keras already runs on {keras.backend.backend()} in this process and can't change to "
            f"{backend.value}: start a new Python, or stay with {keras.backend.backend()}."
        )
