"""What strategies by parameter learn from Optax of an optimizer and its parameters.

A transformation doesn't say what it is. So it is tried on numbers: an optimizer of Adam's family
makes the same step of a gradient ten times as large, and SGD one that is ten times as large.
Whether the size of a weight, or how many numbers it has, changes the step as well, as with LAMB,
Adafactor and Muon, is tried too: such an optimizer is of neither family.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from layerwise.multipliers import ModelFacts
from layerwise.optax._parameters import leaves_of

_Floats = npt.NDArray[np.float64]

_CLOSE = 0.05
_FEW, _MORE = 3, 6
_UPDATES = 7


def facts_of(
    params: optax.Params,
    optimizer: optax.GradientTransformation | None = None,
    values: bool = False,
) -> ModelFacts:
    """What strategies by parameter may ask.

    Args:
        params: The tree of parameters.
        optimizer: The optimizer, or None if it is not known.
        values: Whether the numbers in the tree are those before training.
    """
    return ModelFacts(
        family=lambda: None if optimizer is None else family_of(optimizer, params),
        values=lambda: _arrays(params) if values else {},
        mend=_mend,
    )


def family_of(optimizer: optax.GradientTransformation, params: optax.Params) -> str | None:
    """Whether an optimizer is like Adam or like SGD; None if it is neither, or can't be tried.

    Args:
        optimizer: The optimizer.
        params: The tree that it is for. It is tried on one of the same structure, with small
            arrays.
    """
    try:
        with jax.ensure_compile_time_eval():
            if _is_adagrad(optimizer, params):
                return "adam"
            return _found(lambda *numbers: _step(optimizer, params, *numbers))
    except Exception:  # it may expect anything of parameters, or ask for the loss
        return None


def _is_adagrad(optimizer: optax.GradientTransformation, params: optax.Params) -> bool:
    """Whether Adagrad is in it, which starts as SGD does where gradients are small."""
    state = optimizer.init(jax.tree.map(lambda leaf: _signs(leaf, _FEW), params))
    return "ScaleByRssState" in {
        type(each).__name__ for each in jax.tree.leaves(state, is_leaf=_is_rss)
    }


def _is_rss(value: object) -> bool:
    return type(value).__name__ == "ScaleByRssState"


def _found(step: Callable[[float, float, int], list[_Floats]]) -> str | None:
    def sizes(gradient: float, weight: float = 1.0, length: int = _FEW) -> _Floats:
        # What weight decay adds is the same without a gradient.
        pairs = zip(step(gradient, weight, length), step(0.0, weight, length), strict=True)
        found = np.array([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs])
        return found[found > 0]  # without what is frozen

    def family(gradient: float) -> str | None:
        usual = sizes(gradient)
        if not usual.size or not np.isfinite(usual).all():
            return None
        if not _same(usual, sizes(gradient, length=_MORE)):
            return None
        if not _same(usual, sizes(gradient, weight=4.0)):
            return None
        larger = sizes(10 * gradient)
        if _same(usual, larger):
            return "adam"
        return "sgd" if _same(10 * usual, larger) else None

    # Clipping shows with large gradients alone, so that both are asked; they must not differ.
    found = {family(gradient) for gradient in (1e3, 1e-3)} - {None}
    return found.pop() if len(found) == 1 else None


def _same(one: _Floats, other: _Floats) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=_CLOSE, atol=0))


def _step(
    optimizer: optax.GradientTransformation,
    params: optax.Params,
    gradient: float,
    weight: float,
    length: int,
) -> list[_Floats]:
    """A late update of small arrays: the first may be 0, and RAdam's first ones are SGD's."""
    weights = jax.tree.map(lambda leaf: weight * _signs(leaf, length), params)
    gradients = jax.tree.map(lambda leaf: gradient * _signs(leaf, length), params)
    state = optimizer.init(weights)
    updates = gradients
    for _ in range(_UPDATES):
        updates, state = optimizer.update(gradients, state, weights)
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(updates)]


def _signs(leaf: jax.Array, length: int) -> jax.Array:
    """An array of 1 and -1 with as many axes as a leaf, none of its rows like another."""
    shape = (length,) * len(np.shape(leaf))
    turns = np.sin(1.0 + np.arange(length ** len(shape)) ** 2)
    return jnp.asarray(np.where(turns > 0, 1.0, -1.0).reshape(shape), jnp.float32)


def _arrays(params: optax.Params) -> dict[str, object]:
    names = [leaf.name for leaf in leaves_of(params).leaves if not leaf.hidden]
    return dict(zip(names, jax.tree.leaves(params), strict=True))


def _mend(name: str, factor: float) -> str:
    # One line for all trees: dictionaries, modules of Equinox, states of Flax.
    return (
        f"params = jax.tree_util.tree_map_with_path(lambda path, w: w * {factor:.4g} if "
        'jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value") == '
        f'"{name}" else w, params)'
    )
