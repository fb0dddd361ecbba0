"""Plans of models, and of the names and shapes of saved weights."""

import os
import sys
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from layerwise.cli._files import one_of
from layerwise.cli._models.made import is_made, model_of
from layerwise.errors import LayerwiseError
from layerwise.multipliers import Parameter, Plan, Rules, RuleSpec

if TYPE_CHECKING:
    import keras

BACKENDS = ("jax", "tensorflow", "torch")

Shapes = dict[str, tuple[int, ...]]

# A state dict has the model's order; other files sort by name, or have any order.
_ORDERED = (".pt", ".pth")
# What a state dict has beside the parameters; no optimizer trains it.
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_NESTS = ("state_dict", "model_state_dict", "model")
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}


def keras_backend(name: str | None) -> str | None:
    """Refuse a backend that Keras does not have."""
    return None if name is None else one_of(name, BACKENDS)


KerasBackend: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        callback=keras_backend,
        help=f"What Keras runs on, {', '.join(BACKENDS)}; by default $KERAS_BACKEND or jax.",
    ),
]
"""The option ``--backend`` of a command that loads a Keras model."""


def plan_of(
    path: Path,
    rules: Rules | None,
    *,
    decay_rules: Rules | None = None,
    match: str,
    strict: bool,
    backend: str | None,
) -> Plan:
    """Make the plan of the parameters of a model.

    Args:
        path: A ``.keras`` model, weights in ``.safetensors``, ``.pt``, ``.pth`` or ``.npz``, a
            folder of Hugging Face, or ``module:factory``.
        rules: The rules.
        decay_rules: Rules for weight decay.
        match: How keys match.
        strict: Whether a rule that matches nothing is an error.
        backend: What Keras runs on; None for what the environment says, else JAX.

    Raises:
        LayerwiseError: The file can't be read, or the rules don't fit it.
    """
    suffix = path.suffix.lower()
    if suffix == ".keras":
        model = keras_model(path, backend)
        from layerwise.keras import explain

        return explain(model, rules or {}, decay_rules=decay_rules, match=match, strict=strict)
    if is_made(path):
        choose_backend(backend, needed=False)
        made = model_of(path, weights=False)
        return made.explain(rules or {}, decay_rules=decay_rules, match=match, strict=strict)
    readers = {
        ".pt": _torch_shapes,
        ".pth": _torch_shapes,
        ".safetensors": _safetensors_shapes,
        ".npz": _numpy_shapes,
    }
    if suffix not in readers:
        raise LayerwiseError(
            f"{path.name} can't be read as a model. Its name must end in .keras, .safetensors, "
            ".pt, .pth or .npz."
        )
    shapes = readers[suffix](path)
    if not shapes:
        raise LayerwiseError(f"{path.name} holds no weights.")
    spec = RuleSpec(rules, match=match, strict=strict, decay_rules=decay_rules)
    if suffix not in _ORDERED and spec.needs_order:
        raise LayerwiseError(
            f"{path.name} doesn't say in which order its layers come, which a strategy needs. "
            'Write them into the strategy, from input to head: "layers": ["embed", ..., "head"].'
        )
    separator = "/" if any("/" in name for name in shapes) else "."
    parameters = [_parameter(name, shape, separator) for name, shape in shapes.items()]
    return spec.resolve(parameters, separator=separator)


def _parameter(name: str, shape: tuple[int, ...], separator: str) -> Parameter:
    short = name.replace("_orig_mod.", "").replace("_fsdp_wrapped_module.", "")
    short = short.removeprefix("module.") if separator == "." else name
    return Parameter(name, shape, short=short if short != name else None)


def keras_model(path: Path, backend: str | None) -> "keras.Model":
    """Load a saved Keras model.

    Args:
        path: A ``.keras`` file.
        backend: What Keras runs on; None for what the environment says, else JAX.

    Raises:
        LayerwiseError: Keras is not installed, or can't load the file.
    """
    choose_backend(backend)
    import keras

    from layerwise import keras as _registered  # noqa: F401  # the model may have an LRMultiplier

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about an optimizer's state that does not fit
            return keras.saving.load_model(path)
    except Exception as error:  # Keras raises many kinds
        raise LayerwiseError(f"Keras can't load {path.name}: {error}") from error


def choose_backend(backend: str | None, needed: bool = True) -> None:
    """Set what Keras will run on, unless it is imported already.

    Args:
        backend: What it is to run on; None for what the environment says, else JAX.
        needed: Whether its absence is an error.

    Raises:
        LayerwiseError: Keras or the backend is not installed.
    """
    if not needed and (find_spec("keras") is None or backend is None):
        return
    if find_spec("keras") is None:
        raise LayerwiseError('A .keras model needs Keras: pip install "layerwise[keras,jax]".')
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend or os.environ.get("KERAS_BACKEND") or "jax"
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        chosen = os.environ["KERAS_BACKEND"]
        if find_spec(chosen) is None:
            raise LayerwiseError(
                f'{chosen} is not installed: pip install "layerwise[{chosen}]", or choose another '
                "--backend."
            )


def _torch_shapes(path: Path) -> Shapes:
    if find_spec("torch") is None:
        raise LayerwiseError(f'{path.name} needs PyTorch: pip install "layerwise[torch]".')
    import torch

    try:
        # Only tensors and plain data: any other pickle could run code.
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whose text advises to load the file unsafely
        raise LayerwiseError(
            f"{path.name} is damaged, or it holds more than weights, which is not safe to load. "
            "torch.save(model.state_dict(), path) writes a file that can be read."
        ) from error
    return {
        name: shape
        for name, shape in _shapes_in(data).items()
        if name.rpartition(".")[2] not in _BUFFERS
    }


def _shapes_in(data: object) -> Shapes:
    """The shapes in a state dict, or in a checkpoint that has one as a part."""
    if isinstance(data, Mapping):
        found = {str(k): tuple(v.shape) for k, v in data.items() if hasattr(v, "shape")}
        if found:
            return found
        for nest in _NESTS:
            if isinstance(data.get(nest), Mapping):
                return _shapes_in(data[nest])
    return {}


def _safetensors_shapes(path: Path) -> Shapes:
    if find_spec("safetensors") is None:
        raise LayerwiseError(f"{path.name} needs safetensors: pip install safetensors.")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = [name for name in file.keys() if name.rpartition(".")[2] not in _BUFFERS]  # noqa: SIM118
            return {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except SafetensorError as error:
        raise LayerwiseError(f"{path.name} is no safetensors file: {error}.") from error


def _numpy_shapes(path: Path) -> Shapes:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].shape for name in file.files}
    except (ValueError, AttributeError, EOFError, OSError) as error:
        raise LayerwiseError(
            f"{path.name} is damaged, or it holds more than arrays. np.savez(path, "
            "**{name: array}) writes a file that can be read."
        ) from error
