"""A rate for each tensor in one call of Keras' fused optimizers for PyTorch.

Keras computes with the rate as with a number, and then hands it to ``torch._foreach_mul`` or as
``alpha`` to ``torch._foreach_add_``, for all variables at once. ``ForEach`` goes through that
arithmetic as the numbers of all variables, and under ``ForeachMode`` each tensor gets its own in
these calls. What else is done with it is an error.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import keras
import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from layerwise.errors import OptimizerError
from layerwise.keras._internals.values import Tensor
from layerwise.keras._internals.versions import TRIED

_FUSED = "keras.src.backend.torch.optimizers."
_EXACT = ("float32", "float64")  # in narrower types PyTorch rounds a number less than a tensor

# What a rate goes through on its way to the weights, and what is only asked of it.
_ARITHMETIC = {"add", "sub", "rsub", "__rsub__", "mul", "multiply", "div", "__rdiv__", "neg", "to"}
_QUESTIONS = {"__get__", "dim"}

Function: TypeAlias = Callable[..., Any]


class ForEach(torch.Tensor):
    """A number for each of several tensors, where Keras expects one.

    Attributes:
        each: The numbers, a tensor of one axis.
    """

    each: torch.Tensor

    @classmethod
    def of(cls, numbers: torch.Tensor) -> "ForEach":
        """A ``ForEach`` of these numbers. Its own value is NaN, since nothing may read it."""
        made = torch.full((), torch.nan, dtype=numbers.dtype, device=numbers.device)
        found: ForEach = made.as_subclass(cls)
        found.each = numbers
        return found

    @classmethod
    def __torch_function__(
        cls,
        func: Function,
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func.__name__ in _QUESTIONS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        tensors = [value for value in args if isinstance(value, torch.Tensor)]
        if func.__name__ not in _ARITHMETIC or any(tensor.dim() for tensor in tensors):
            raise _unknown(func)
        return cls.of(func(*map(_each, args), **kwargs))


class ForeachMode(TorchFunctionMode):
    """PyTorch's foreach functions take a ``ForEach`` in place of a number."""

    def __torch_function__(
        self,
        func: Function,
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch._foreach_mul, torch._foreach_mul_) and isinstance(args[1], ForEach):
            return func(args[0], args[1].each.unbind())
        alpha = kwargs.get("alpha")
        if not isinstance(alpha, ForEach):
            return func(*args, **kwargs)
        if func is not torch._foreach_add_:
            raise _unknown(func)
        for tensor, other, number in zip(*args, alpha.each.tolist(), strict=True):
            tensor.add_(other, alpha=number)
        return args[0]


def takes_each(method: Function, factors: Sequence[object]) -> bool:
    """Whether a method takes a ``ForEach`` of these factors in place of a rate's factor.

    Inside of a compiler, and where the method is not Keras' own, it does not.

    Args:
        method: The method of an optimizer that takes variables.
        factors: The factors; None is 1.
    """
    return (
        method.__module__.startswith(_FUSED)
        and not torch.compiler.is_compiling()
        and keras.backend.floatx() in _EXACT
        and all(factor is None or isinstance(factor, float) for factor in factors)
    )


def in_one(factors: Sequence[object]) -> Tensor:
    """One ``ForEach`` of some factors; None is 1."""
    # Through NumPy: Keras would look into each of the numbers.
    numbers = np.array([1.0 if f is None else f for f in factors], keras.backend.floatx())
    return cast("Tensor", ForEach.of(keras.ops.convert_to_tensor(numbers)))


def _each(value: object) -> object:
    return value.each if isinstance(value, ForEach) else value


def _unknown(function: Function) -> OptimizerError:
    return OptimizerError(
        f"Keras {keras.__version__} calls torch.{function.__name__}() with the learning rate in an "
        "update of all variables, which a rate for each of them can't go through. Layerwise was "
        f"tried with Keras {TRIED}: install one of these, or report this version to Layerwise."
    )
