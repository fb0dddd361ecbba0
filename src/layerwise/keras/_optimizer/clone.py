"""A new optimizer like another one."""

from collections.abc import Mapping
from typing import TypeAlias

import keras
from keras.optimizers import Optimizer

from layerwise.errors import OptimizerError
from layerwise.keras._internals.classes import view_as
from layerwise.keras._internals.optimizer import (
    base_rate_of,
    config_without_rate,
    copy_decay_exclusions,
    rate_variable,
)
from layerwise.keras._schedule import as_learning_rate

Identifier: TypeAlias = str | Mapping[str, object] | Optimizer
"""What Keras takes for an optimizer: its name, its config, or an instance."""


def as_optimizer(identifier: Identifier) -> Optimizer:
    """The optimizer that Keras makes from an identifier, a config or an instance."""
    hint = " This is a class: make an instance." if isinstance(identifier, type) else ""
    try:
        optimizer = keras.optimizers.get(identifier)
    except (ValueError, TypeError) as error:
        raise OptimizerError(
            f"LRMultiplier takes a Keras optimizer, its name or its config, not {identifier!r}; "
            'for example LRMultiplier("adam", {...}) or LRMultiplier(keras.optimizers.SGD(0.1), '
            f"{{...}}).{hint}"
        ) from error
    if optimizer is None:
        raise OptimizerError('LRMultiplier needs an optimizer, for example LRMultiplier("adam").')
    return optimizer


def clone_optimizer(source: Optimizer, plain: type) -> Optimizer:
    """A new, unbuilt optimizer of the plain class, made from the source's config.

    Raises:
        OptimizerError: The config does not describe the whole optimizer.
    """
    try:
        made = plain.from_config(config_without_rate(source, plain))  # type: ignore[attr-defined]
    except TypeError as error:
        raise OptimizerError(
            f"{plain.__name__} can't be made again from its get_config(): {error}. "
            "Let get_config() return every argument of __init__()."
        ) from error
    kind: type = type(made)
    if kind is not plain:
        raise OptimizerError(
            f"{plain.__name__}.from_config() returned a {kind.__name__}. Let it return an "
            "instance of the class that it is called on."
        )
    if rate_variable(source) is None:
        made.learning_rate = as_learning_rate(base_rate_of(source))
    simple = bool | int | float | str | None
    for name, value in vars(source).items():
        public = not name.startswith("_") and name not in ("built", "name")
        if public and isinstance(value, simple) and getattr(made, name, None) != value:
            raise OptimizerError(
                f"{plain.__name__}.get_config() loses {name}={value!r}, so the multiplied "
                f"optimizer would differ. Let get_config() return {name!r}."
            )
    copy_decay_exclusions(source, made)
    return made


def optimizer_config(optimizer: Optimizer, plain: type) -> dict[str, object]:
    """The serialized form of an optimizer as its plain class.

    Keras' fused variants for PyTorch are written as the public class that they stand for, so that
    every backend loads what one of them saved.
    """
    config: dict[str, object] = keras.saving.serialize_keras_object(view_as(optimizer, plain))
    if getattr(keras.optimizers, plain.__name__, None) in plain.__mro__:
        config |= {
            "module": "keras.optimizers",
            "class_name": plain.__name__,
            "registered_name": None,
        }
    return config
