"""The gradients that PyTorch's tensors have before a search, out of its way until it ends."""

from typing import Any

from layerwise.finder._freed import Freed, can_be_freed


class Gradients:
    """Takes the gradients from a model's weights.

    Args:
        model: A model of Keras on PyTorch.
    """

    def __init__(self, model: Any) -> None:
        self._taken: list[tuple[Any, Any]] = []
        self._freed: list[Freed] = []
        for variable in model.trainable_variables:
            weight = variable.value
            gradient, weight.grad = weight.grad, None
            self._taken.append((weight, gradient))
            if gradient is not None and can_be_freed(gradient):
                self._freed.append(Freed(gradient))
        for freed in self._freed:
            freed.empty()

    def put_back(self) -> None:
        """Give them back: the same tensors, with the same values."""
        for freed in self._freed:
            freed.fill()
        for weight, gradient in self._taken:
            weight.grad = gradient
