"""Whether an optimizer's state fits the rules and the optimizer that it is handed to."""

from collections.abc import Sequence

import jax
import optax
from jax.tree_util import tree_flatten_with_path

from layerwise.errors import OptimizerError
from layerwise.optax._parameters import Leaf, Path, is_deleted, is_hidden, name_of, structure_of

_WAY_OUT = (
    "carry_state(optimizer, params, state) makes a state for this optimizer out of it; "
    "optimizer.init(params) makes a new one."
)


def check_fitting(state: optax.OptState, expected: optax.OptState, leaves: Sequence[Leaf]) -> None:
    """Raise if a state leaves out other leaves than the rules do.

    Args:
        state: The optimizer's state, without that of the multipliers.
        expected: The state that it makes under these rules, or its shapes.
        leaves: The leaves of the parameters.

    Raises:
        OptimizerError: It does; the message names the first such leaf.
    """
    if structure_of(state) == structure_of(expected):
        return
    given, wanted = _ends(state), _ends(expected)
    names = {leaf.path: leaf.name for leaf in leaves}
    for path in wanted:
        if path in given and given[path] != wanted[path]:
            inside = (path[start:] for start in range(len(path)))
            name = next((names[part] for part in inside if part in names), name_of(path))
            was, now = ("frozen", "trained") if given[path] else ("trained", "frozen")
            raise OptimizerError(
                f"This state was made under other rules: {name!r} was {was} then, and is {now} "
                f"now, so that {name_of(path)!r} in the state doesn't fit. {_WAY_OUT}"
            )


def check_state_there(state: optax.OptState) -> None:
    """Raise unless the memory of all arrays in a state is still there.

    Raises:
        OptimizerError: It is not.
    """
    if any(map(is_deleted, jax.tree.leaves(state))):
        raise OptimizerError(
            "The memory of this state is gone: a compiled function has taken it (donate_argnums). "
            "Give the state that this function returned."
        )


def misfit(state: optax.OptState, expected: optax.OptState) -> OptimizerError | None:
    """The error for a state of another optimizer or tree, once one has failed with it."""
    given, wanted = _ends(state), _ends(expected)
    lacks = [name_of(path) for path in wanted if path not in given]
    more = [name_of(path) for path in given if path not in wanted]
    if not lacks and not more:
        return None
    what = f"it lacks {lacks[0]!r}" if lacks else f"it has {more[0]!r}, which is not known here"
    return OptimizerError(f"This state is not one of this optimizer: {what}. {_WAY_OUT}")


def _ends(tree: optax.OptState) -> dict[Path, bool]:
    """Whether each end of a tree is a hidden leaf, by its path."""
    return {
        path: is_hidden(value) for path, value in tree_flatten_with_path(tree, is_leaf=is_hidden)[0]
    }
