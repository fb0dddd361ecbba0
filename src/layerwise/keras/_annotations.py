"""Multipliers that belong to a layer: written on it, and saved with it.

The layer keeps its multipliers in its config. It marks its weights with them when it is built and
whenever it is asked for its weights, which is how models and training loops find them. So it does
not matter whether the weights exist when a multiplier is set, and layers inside the layer are
reached, too.
"""

from collections.abc import Mapping, Sequence
from typing import Self, TypeAlias
from weakref import ref

import keras
from keras import Variable

from layerwise.errors import UnmatchedRuleError
from layerwise.keras._internals.layer import LayerHooks
from layerwise.keras._registered_functions import RegisteredFunctions, function_name
from layerwise.multipliers import Value, check_value, value_from_config, value_to_config

_MARK = "_layerwise_multipliers"

Annotation: TypeAlias = Value | Mapping[str, Value]
"""A multiplier for all weights of a layer, or a dict of multipliers by weight name."""


def annotations_of(variable: Variable) -> list[tuple[keras.Layer, Value]]:
    """The layers that gave a variable a multiplier, each with the multiplier."""
    return [(layer, value) for layer, value in _marks(variable) if value is not None]


def check_names(variables: Sequence[Variable]) -> None:
    """Raise if the annotation of a layer with any of these names a weight that it lacks."""
    layers = {id(layer): layer for v in variables for layer, _ in _marks(v)}
    for layer in layers.values():
        _check_names(layer.lr_multiplier, layer.weights, layer.name)


def _marks(variable: Variable) -> list[tuple[keras.Layer, Value | None]]:
    marks: dict[int, tuple[ref[keras.Layer], Value | None]] = getattr(variable, _MARK, {})
    return [(layer, value) for mark, value in marks.values() if (layer := mark()) is not None]


class Annotated(LayerHooks):
    """Adds ``lr_multiplier`` to the arguments, config and weights of a layer class."""

    _lr_multiplier: Annotation | None = None

    def __init__(
        self, *args: object, lr_multiplier: Annotation | None = None, **kwargs: object
    ) -> None:
        checked = checked_annotation(lr_multiplier, type(self).__name__)
        super().__init__(*args, **kwargs)
        self._set_lr_multiplier(checked)

    @property
    def lr_multiplier(self) -> Annotation | None:
        """A number, schedule or callable for all weights, or a dict of them by weight name.

        An optimizer reads it when it is built.
        """
        return self._lr_multiplier

    @lr_multiplier.setter
    def lr_multiplier(self, value: Annotation | None) -> None:
        checked = checked_annotation(value, self.name, self)
        self._set_lr_multiplier(checked)

    def _set_lr_multiplier(self, checked: Annotation | None) -> None:
        # An ordinary assignment would be tracked by the backend, which wraps dicts.
        object.__setattr__(self, "_lr_multiplier", checked)
        self._mark(super().weights)

    @property
    def variables(self) -> list[Variable]:
        return self._mark(super().variables)

    @property
    def weights(self) -> list[Variable]:
        return self._mark(super().weights)

    def after_build(self) -> None:
        self._mark(super().weights)

    def _mark(self, variables: list[Variable]) -> list[Variable]:
        for variable in variables:
            marks = dict(getattr(variable, _MARK, {}))
            marks.pop(id(self), None)
            if self._lr_multiplier is not None:
                # None for a weight that is not named, so that check_names() finds the layer.
                marks[id(self)] = (ref(self), _of_weight(self._lr_multiplier, variable))
            setattr(variable, _MARK, marks)
        return variables

    def get_config(self) -> dict[str, object]:
        config: dict[str, object] = super().get_config()
        return config | {"lr_multiplier": annotation_to_config(self._lr_multiplier)}

    @classmethod
    def from_config(cls, config: Mapping[str, object], *args: object, **kwargs: object) -> Self:
        plain = dict(config)
        multiplier = annotation_from_config(plain.pop("lr_multiplier", None))
        layer: Self = super().from_config(plain, *args, **kwargs)
        layer._set_lr_multiplier(multiplier)
        return layer


def checked_annotation(
    annotation: Annotation | None, place: str, layer: keras.Layer | None = None
) -> Annotation | None:
    """The annotation with every value checked, and every name if the layer has weights.

    An empty dict is None.
    """
    if annotation is None:
        return None
    if isinstance(annotation, Mapping):
        checked = {
            str(key): check_value(value, f"lr_multiplier[{key!r}] of {place}")
            for key, value in annotation.items()
        }
        if layer is not None and layer.built:
            _check_names(checked, layer.weights, place)
        return checked or None
    return check_value(annotation, f"lr_multiplier of {place}")


def _check_names(annotation: Annotation | None, weights: Sequence[Variable], place: str) -> None:
    if not isinstance(annotation, Mapping):
        return
    for key in annotation:
        if not any(_names(key, variable) for variable in weights):
            names = ", ".join(dict.fromkeys(repr(v.name) for v in weights)) or "none"
            raise UnmatchedRuleError(
                f"lr_multiplier of the layer {place!r} names {key!r}, but its weights are {names}."
            )


def _of_weight(annotation: Annotation, variable: Variable) -> Value | None:
    """The multiplier of one weight; the longest name that matches it counts."""
    if not isinstance(annotation, Mapping):
        return annotation
    keys = [key for key in annotation if _names(key, variable)]
    return annotation[max(keys, key=len)] if keys else None


def _names(key: str, variable: Variable) -> bool:
    """Whether a key is the variable's name, or consecutive parts of its path."""
    return key == variable.name or f"/{key}/" in f"/{variable.path}/"


def annotation_to_config(annotation: Annotation | None) -> object:
    """The annotation as plain data."""
    if isinstance(annotation, Mapping):
        return {
            "by_weight": {
                key: value_to_config(value, function_name) for key, value in annotation.items()
            }
        }
    return None if annotation is None else value_to_config(annotation, function_name)


def annotation_from_config(config: object) -> Annotation | None:
    """The annotation that ``annotation_to_config`` described."""
    if isinstance(config, Mapping) and "by_weight" in config:
        return {key: _from_config(value) for key, value in config["by_weight"].items()}
    return None if config is None else _from_config(config)


def _from_config(config: object) -> Value:
    value = value_from_config(config, RegisteredFunctions())
    return check_value(value, "An lr_multiplier that was saved")
