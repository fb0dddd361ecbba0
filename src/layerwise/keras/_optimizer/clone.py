"""An optimizer made again: a new, unbuilt one like it, with nothing lost."""

from typing import Any

import keras

from layerwise.errors import OptimizerError
from layerwise.keras._schedule import as_learning_rate


def as_optimizer(identifier: Any) -> Any:
    """The optimizer that Keras takes an identifier, config or instance for."""
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


def clone_optimizer(source: Any, plain: Any) -> Any:
    """A new, unbuilt optimizer like the source, made from its config."""
    view = view_as(source, plain)
    if not isinstance(source._learning_rate, keras.Variable):
        object.__setattr__(view, "_learning_rate", None)  # handed over below, as it is
    try:
        made = plain.from_config(plain.get_config(view))
    except TypeError as error:
        raise OptimizerError(
            f"{plain.__name__} can't be made again from its get_config(): {error}. "
            "Let get_config() return every argument of __init__()."
        ) from error
    if not isinstance(source._learning_rate, keras.Variable):
        made.learning_rate = as_learning_rate(source._learning_rate)
    simple = bool | int | float | str | None
    for name, value in vars(source).items():
        public = not name.startswith("_") and name not in ("built", "name")
        if public and isinstance(value, simple) and getattr(made, name, None) != value:
            raise OptimizerError(
                f"{plain.__name__}.get_config() loses {name}={value!r}, so the multiplied "
                f"optimizer would differ. Let get_config() return {name!r}."
            )
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(source, name):
            setattr(made, name, getattr(source, name))
    return made


def view_as(instance: Any, base: type) -> Any:
    """The same object under another class: shares every attribute, is an instance of ``base``."""
    view: Any = object.__new__(base)
    vars(view).update(vars(instance))
    return view


def optimizer_config(optimizer: Any, base: type) -> dict[str, Any]:
    """The serialized form of an optimizer as its plain class.

    Keras' fused Torch variants are written as the public class that they stand for, so that
    what one backend saves every backend loads.
    """
    config: dict[str, Any] = keras.saving.serialize_keras_object(view_as(optimizer, base))
    public = getattr(keras.optimizers, base.__name__, None)
    if public in base.__mro__:
        config |= {
            "module": "keras.optimizers",
            "class_name": base.__name__,
            "registered_name": None,
        }
    return config
