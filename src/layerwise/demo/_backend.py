"""The framework that the demo runs on, chosen before any is imported."""

import os
import sys
from enum import StrEnum
from importlib.util import find_spec

from layerwise.demo._network import Framework
from layerwise.errors import LayerwiseError


class Backend(StrEnum):
    """A framework under Keras, or one without Keras."""

    JAX = "jax"
    TENSORFLOW = "tensorflow"
    TORCH = "torch"
    TORCH_NATIVE = "torch-native"
    OPTAX = "optax"


# What the demo imports, and the names under which it is installed.
_DATA = {"mlxtend": "mlxtend", "scipy": "scipy", "sklearn": "scikit-learn"}
_FRAMEWORKS = {
    Backend.JAX: ("keras", "jax"),
    Backend.TENSORFLOW: ("keras", "tensorflow"),
    Backend.TORCH: ("keras", "torch"),
    Backend.TORCH_NATIVE: ("torch",),
    Backend.OPTAX: ("jax", "optax"),
}

# Set unless the user has set it. The network is so small that threads of PyTorch would mostly wait
# for each other. oneDNN gains nothing here, but TensorFlow announces it on stderr, even if it is
# only installed beside the chosen framework.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def use_backend(backend: Backend) -> Framework:
    """Choose the framework to train with. Keras runs on it from its first import on.

    Args:
        backend: The framework; it must be installed.

    Returns:
        What ``compare`` trains with.

    Raises:
        LayerwiseError: Something that the demo needs is not installed, or Keras already runs on
            another framework, which it can't change within a process.
    """
    needed = {**_DATA, **{name: name for name in _FRAMEWORKS[backend]}}
    missing = [name for module, name in needed.items() if find_spec(module) is None]
    if missing:
        extra = backend.value.removesuffix("-native")
        extras = "demo" if backend is Backend.JAX else f"demo,{extra}"
        raise LayerwiseError(
            f'The demo needs {", ".join(missing)}: pip install "layerwise[{extras}]".'
        )
    for name, value in _ENVIRONMENT.items():
        if not sys.modules.keys() & set(_FRAMEWORKS[backend]):
            os.environ.setdefault(name, value)
    if backend is Backend.TORCH_NATIVE:
        from layerwise.demo._with_torch import WithTorch

        return WithTorch()
    if backend is Backend.OPTAX:
        from layerwise.demo._with_optax import WithOptax

        return WithOptax()
    return _keras_on(backend)


def _keras_on(backend: Backend) -> Framework:
    keras = sys.modules.get("keras")
    if keras is None:
        os.environ["KERAS_BACKEND"] = backend.value
    elif keras.backend.backend() != backend.value:
        raise LayerwiseError(
            f"Keras already runs on {keras.backend.backend()} in this process and can't change to "
            f"{backend.value}. Start a new Python, or stay with {keras.backend.backend()}."
        )
    from layerwise.demo._with_keras import WithKeras

    return WithKeras()
