"""The shapes of a small model, and which of them belongs to which parameter of a large one."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from layerwise._checks import whole
from layerwise._text import shown
from layerwise.errors import MultiplierError
from layerwise.multipliers._plan import Parameter

Shape: TypeAlias = tuple[int, ...]

_AUTOMATIC = re.compile(r"_\d+$")


class BaseModel(NamedTuple):
    """What is known of a small model.

    Attributes:
        shapes: The shapes of its parameters by name, in its order.
        sizes: The root mean square of each of its matrices that has values.
    """

    shapes: dict[str, Shape]
    sizes: dict[str, float]


def read_base(base: object, what: str) -> BaseModel:
    """The shapes of a model, of a tree of parameters, or of a mapping from names to shapes.

    No framework is imported: a model is known by what it offers.

    Args:
        base: The model, tree or mapping.
        what: Whose argument it is, for messages: ``"width_scaling: base"``.

    Raises:
        MultiplierError: It is nothing of this, or has no parameters.
    """
    pairs = _pairs(base)
    if pairs is None:
        raise MultiplierError(
            f"{what} must be the small model, its tree of parameters, or a mapping from the names "
            f"of its parameters to their shapes, got {shown(base)}."
        )
    shapes: dict[str, Shape] = {}
    sizes: dict[str, float] = {}
    for name, value in pairs:
        if not isinstance(name, str) or not name:
            raise MultiplierError(f"{what} must have names of parameters, got {shown(name)}.")
        shape = _shape(value)
        if shape is None:
            raise MultiplierError(f"{what}: {name!r} must have a shape, got {shown(value)}.")
        shapes[name] = tuple(
            whole(n, f"{what}: a size of {name!r}", MultiplierError, at_least=1) for n in shape
        )
        size = root_mean_square(value) if len(shape) > 1 else None
        if size is not None:
            sizes[name] = size
    if not shapes:
        raise MultiplierError(
            f"{what} has no parameters. Build the model first: with an Input layer in Keras, or a "
            "batch for lazy layers."
        )
    return BaseModel(shapes, sizes)


def root_mean_square(value: object) -> float | None:
    """The root mean square of an array of any framework; None if its numbers are not at hand."""
    array: Any = value
    if not hasattr(array, "shape"):
        return None
    try:
        if hasattr(array, "detach"):
            array = array.detach().cpu().double()
        if hasattr(array, "numpy"):
            array = array.numpy()
        numbers = np.asarray(array, np.float64)
    except (TypeError, ValueError, NotImplementedError, AttributeError, RuntimeError):
        return None  # a shape without numbers, or an array under trace
    return float(np.sqrt(np.mean(np.square(numbers)))) if numbers.ndim and numbers.size else None


def match_shapes(
    parameters: Sequence[Parameter], shapes: Mapping[str, Shape], separator: str
) -> list[tuple[str, Shape] | None]:
    """The name and shape in the small model of each parameter, or None where there is none.

    They are matched by name, with or without what a wrapper puts in front. Keras numbers names
    within a process (``dense``, ``dense_1``). If names don't fit, and the two models have the same
    parameters in the same order except for such numbers, the order counts.
    """
    by_name = _by_name(parameters, shapes, separator)
    if all(
        found is not None or not p.trainable for found, p in zip(by_name, parameters, strict=True)
    ):
        return by_name
    of_model = [_kind(p.name, len(p.shape), separator) for p in parameters]
    of_base = [_kind(name, len(shape), separator) for name, shape in shapes.items()]
    return list(shapes.items()) if of_model == of_base else by_name


def _by_name(
    parameters: Sequence[Parameter], shapes: Mapping[str, Shape], separator: str
) -> list[tuple[str, Shape] | None]:
    known = {name: (name, shape) for name, shape in shapes.items()}
    inner = Counter(name.partition(separator)[2] for name in shapes)
    for name, shape in shapes.items():
        short = name.partition(separator)[2]
        if separator in short and inner[short] == 1:
            known.setdefault(short, (name, shape))
    layers = Counter(alias for p in parameters if p.layer is not None for alias in p.aliases)
    found: list[tuple[str, Shape] | None] = []
    for parameter in parameters:
        names = [name for path in parameter.paths() for name in path if name is not None]
        match = next((known[name] for name in names if name in known), None)
        if match is not None and parameter.layer is not None:
            match = _one_layer(match, parameter, layers)
        found.append(match)
    return found


def _one_layer(
    match: tuple[str, Shape], parameter: Parameter, layers: Counter[str]
) -> tuple[str, Shape]:
    """The shape of one of the layers that are stacked in one array of the small model."""
    name, shape = match
    if len(shape) != len(parameter.shape) + 1:
        return match
    count = max(layers[alias] for alias in parameter.aliases)
    axis = shape.index(count) if count in shape else 0
    return name, (*shape[:axis], *shape[axis + 1 :])


def _kind(name: str, rank: int, separator: str) -> tuple[int, tuple[str, ...]]:
    return rank, tuple(_AUTOMATIC.sub("", part) for part in name.split(separator))


def _pairs(base: Any) -> Iterable[tuple[object, object]] | None:
    """Names and what has shapes, in a model's order; None if this is nothing of the kind."""
    if isinstance(base, str | bytes) or base is None:
        return None
    variables = getattr(base, "trainable_variables", None)
    if isinstance(variables, Sequence) and all(hasattr(v, "path") for v in variables):
        return [(variable.path, variable) for variable in variables]
    if callable(getattr(base, "named_parameters", None)):
        return list(base.named_parameters(remove_duplicate=False))
    if isinstance(base, Mapping) and all(_shape(value) is not None for value in base.values()):
        return list(base.items())
    if isinstance(base, Sequence) and base and all(map(_is_pair, base)):
        return [(pair[0], pair[1]) for pair in base]
    tree = getattr(sys.modules.get("jax"), "tree_util", None)
    return None if tree is None else _leaves(base, tree)


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and isinstance(value[0], str)


def _leaves(base: object, tree: Any) -> list[tuple[object, object]] | None:
    """The leaves of a tree by the names that Optax' parameters have."""
    leaves = tree.tree_flatten_with_path(base, is_leaf=_is_leaf)[0]
    pairs = [
        (tree.keystr(path, simple=True, separator="/") or "params", leaf) for path, leaf in leaves
    ]
    pairs = [
        (name, leaf if _shape(leaf) is not None else leaf.value)
        for name, leaf in pairs
        if _is_leaf(leaf)
    ]
    return pairs or None  # a module has functions and numbers beside its arrays


def _is_leaf(value: object) -> bool:
    # Flax puts some arrays into boxes with the names of their axes.
    return _shape(value) is not None or hasattr(getattr(value, "value", None), "shape")


def _shape(value: Any) -> Shape | None:
    shape = getattr(value, "shape", value)
    if shape is not value and isinstance(shape, Iterable):
        shape = tuple(shape)  # TensorFlow's is no sequence
    return tuple(shape) if _is_shape(shape) else None


def _is_shape(value: object) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return False
    return all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in value)
