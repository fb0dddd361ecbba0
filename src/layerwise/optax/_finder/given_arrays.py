"""What is given to a search, named where it is no array or where its memory is gone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
import numpy as np
import optax
from jax.tree_util import tree_flatten_with_path

from layerwise._text import shown
from layerwise.errors import FinderError
from layerwise.optax._parameters import is_deleted, name_of

_SHOWN = 60  # characters of a value in a message


def check_there(what: str, tree: optax.Params) -> None:
    """Raise unless the memory of all arrays in a tree is still there.

    Args:
        what: What the tree is, for the message.
        tree: A tree of arrays.

    Raises:
        FinderError: It is not.
    """
    if found := _found(what, tree, is_deleted, lambda value: "an array"):
        raise FinderError(
            f"{found}, whose memory is gone: a compiled function has taken it (donate_argnums). "
            "Give what that function returned, or a copy that was made before, as "
            "jax.tree.map(jnp.copy, tree) makes it."
        )


def check_all_there(params: optax.Params, state: optax.OptState, extra: optax.Params) -> None:
    """See ``check_there``, for all that a search starts from."""
    for what, tree in (("params=", params), ("state=", state), ("extra=", extra)):
        check_there(what, tree)


@contextmanager
def named_in_errors(batch: optax.Params, extra: optax.Params, *, jit: bool) -> Iterator[None]:
    """Around a step: where it fails because of what it was given, the error says where that is.

    Args:
        batch: The batch.
        extra: What else the network changes.
        jit: Whether the step is compiled, and takes arrays alone.

    Raises:
        FinderError: The step fails, and something in the batch has no memory, or is no array.
    """
    try:
        yield
    except (TypeError, RuntimeError) as error:
        try:
            check_there("A batch", batch)
            if jit:
                _check_arrays("A batch", batch)
                _check_arrays("extra=", extra)
        except FinderError as found:
            raise found from error
        raise


def _check_arrays(what: str, tree: optax.Params) -> None:
    if found := _found(what, tree, _is_no_array, _kind):
        raise FinderError(
            f"{found}, and a compiled step takes arrays of numbers alone, JAX' or NumPy's. Make it "
            "one, or leave it out; or give jit=False."
        )


def _found(
    what: str, tree: optax.Params, wanted: Callable[[object], bool], kind: Callable[[object], str]
) -> str | None:
    """The beginning of a sentence on the first leaf that is wanted; None without one."""
    for path, leaf in tree_flatten_with_path(tree)[0]:
        if wanted(leaf):
            there = f"has {kind(leaf)} at {name_of(path)!r}" if path else f"is {kind(leaf)}"
            return f"{what} {there}"
    return None


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"something of the type {type(value).__name__} ({shown(value, _SHOWN)})"


def _is_no_array(value: object) -> bool:
    try:
        jax.eval_shape(lambda leaf: leaf, value)
    except TypeError:
        return True
    return False
