"""UpdateRatios: how far one update moves each layer, relative to its size."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import keras
from keras import ops

from layerwise.keras._callbacks.batch_rows import NamedValues
from layerwise.keras._internals.trainer import State, trained_values
from layerwise.keras._internals.values import copy_of
from layerwise.keras._restored import full_name


class UpdateRatios:
    r"""The update-to-weight ratio of each layer, computed on the device.

    $$\lVert W_{t+1} - W_t \rVert / \lVert W_t \rVert$$

    Here $W$ holds all trainable weights of a layer.

    Args:
        model: A built model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._variables = model.trainable_variables
        members: dict[str, list[int]] = {}
        for place, variable in enumerate(self._variables):
            path = full_name(variable).removeprefix(f"{model.name}/")
            layer = path.rpartition("/")[0] or path
            members.setdefault(layer, []).append(place)
        self._layers = tuple(members)
        self._members = tuple(map(tuple, members.values()))

    def before(self, state: State | None) -> list[Any]:
        """Copies of the weights that the next step is going to change.

        Args:
            state: The state that the step starts from, on JAX.
        """
        if state is not None:
            return [ops.copy(value) for value in trained_values(state)]
        return [copy_of(variable) for variable in self._variables]

    def after(self, before: list[Any], state: State | None) -> NamedValues:
        """The ratio of each layer, still on the device.

        Args:
            before: What ``before`` returned.
            state: The state that the step ended with, on JAX.
        """
        if state is not None:
            now = list(trained_values(state))
        else:
            now = [variable.value for variable in self._variables]
        return NamedValues(self._layers, self._compute(before, now))

    @cached_property
    def _compute(self) -> Any:
        if keras.backend.backend() == "jax":
            import jax

            return jax.jit(self._ratios)
        if keras.backend.backend() == "torch":
            import torch

            return torch.no_grad()(self._ratios)
        return self._ratios

    def _ratios(self, before: Sequence[Any], after: Sequence[Any]) -> keras.KerasTensor:
        def squares(values: list[Any]) -> keras.KerasTensor:
            return ops.sum(ops.stack([ops.sum(ops.square(_real(v))) for v in values]))

        changes = [ops.subtract(b, a) for a, b in zip(before, after, strict=True)]
        return ops.stack(
            [
                ops.sqrt(squares([changes[i] for i in places]))
                / ops.sqrt(squares([before[i] for i in places]))
                for places in self._members
            ]
        )


def _real(value: Any) -> keras.KerasTensor:
    """The values in float32; of complex ones their absolute values."""
    is_complex = keras.backend.standardize_dtype(value.dtype).startswith("complex")
    return ops.cast(ops.abs(value) if is_complex else value, "float32")
