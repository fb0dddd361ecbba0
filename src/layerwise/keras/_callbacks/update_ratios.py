"""How far one update moved each layer, relative to its size."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import keras
from keras import ops

from layerwise.keras._internals.values import copy_of


class UpdateRatios:
    r"""The update-to-weight ratio of each layer, computed on the device.

    $$\lVert W_{t+1} - W_t \rVert / \lVert W_t \rVert$$

    over all trainable weights of a layer together.

    Args:
        model: A built model.
    """

    def __init__(self, model: Any) -> None:
        self._variables = model.trainable_variables
        members: dict[str, list[int]] = {}
        for place, variable in enumerate(self._variables):
            path = variable.path.removeprefix(f"{model.name}/")
            layer = path.rpartition("/")[0] or path
            members.setdefault(layer, []).append(place)
        self.layers = tuple(members)
        self._members = tuple(map(tuple, members.values()))

    def before(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Copies of the weights that a call of the train function with these arguments changes."""
        if keras.backend.backend() == "jax":
            return [ops.copy(value) for value in arguments[0][0]]
        return [copy_of(variable) for variable in self._variables]

    def after(self, before: Sequence[Any], state: Any) -> Any:
        """The ratios, one number a layer: a vector on the device."""
        if keras.backend.backend() == "jax":
            return self._compute(list(before), list(state[0]))
        return self._compute(before, [variable.value for variable in self._variables])

    @cached_property
    def _compute(self) -> Any:
        if keras.backend.backend() == "jax":
            import jax

            return jax.jit(self._ratios)
        if keras.backend.backend() == "torch":
            import torch

            return torch.no_grad()(self._ratios)
        return self._ratios

    def _ratios(self, before: Sequence[Any], after: Sequence[Any]) -> Any:
        def squares(values: list[Any]) -> Any:
            return ops.sum(ops.stack([ops.sum(ops.square(ops.cast(v, "float32"))) for v in values]))

        changes = [ops.subtract(b, a) for a, b in zip(before, after, strict=True)]
        return ops.stack(
            [
                ops.sqrt(squares([changes[i] for i in own]))
                / ops.sqrt(squares([before[i] for i in own]))
                for own in self._members
            ]
        )
