"""Multipliers that belong to a layer: written on it, and saved with it.

The layer keeps its multipliers in its config and marks its weights with them whenever it is
asked for its weights, which is how every model and training loop finds them. A weight can thus
be marked before or after it exists, and also inside a layer built of other layers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self
from weakref import ref

from layerwise.errors import UnmatchedRuleError
from layerwise.keras._registered_functions import RegisteredFunctions, function_name
from layerwise.multipliers import check_value, value_from_config, value_to_config

_MARK = "_layerwise_multipliers"

Value = Any
Annotation = Value | Mapping[str, Value]


def annotations_of(variable: Any) -> list[tuple[Any, Any]]:
    """The layers that gave a variable a multiplier, each with the multiplier."""
    return [(layer, value) for layer, value in _marks(variable) if value is not None]


def check_names(variables: Sequence[Any]) -> None:
    """Raise if an annotated layer that owns any of these names a weight that it does not have."""
    layers = {id(layer): layer for v in variables for layer, _ in _marks(v)}
    for layer in layers.values():
        _check_names(layer.lr_multiplier, layer.weights, layer.name)


def _marks(variable: Any) -> list[tuple[Any, Any]]:
    marks: dict[int, tuple[ref[Any], Any]] = getattr(variable, _MARK, {})
    return [(layer, value) for mark, value in marks.values() if (layer := mark()) is not None]


class Annotated:
    """What a layer class gains: ``lr_multiplier`` in its arguments, config and weights."""

    _lr_multiplier: Annotation | None = None

    def __init__(self, *args: Any, lr_multiplier: Annotation | None = None, **kwargs: Any) -> None:
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
        checked = checked_annotation(value, self.name, self)  # type: ignore[attr-defined]
        self._set_lr_multiplier(checked)

    def _set_lr_multiplier(self, checked: Annotation | None) -> None:
        # Past every backend's tracking, which would wrap the dict.
        object.__setattr__(self, "_lr_multiplier", checked)
        self._mark(super().weights)  # type: ignore[misc]

    @property
    def variables(self) -> list[Any]:
        return self._mark(super().variables)  # type: ignore[misc]

    @property
    def weights(self) -> list[Any]:
        return self._mark(super().weights)  # type: ignore[misc]

    def _post_build(self) -> None:
        super()._post_build()  # type: ignore[misc]
        self._mark(super().weights)  # type: ignore[misc]

    def _mark(self, variables: list[Any]) -> list[Any]:
        for variable in variables:
            marks = dict(getattr(variable, _MARK, {}))
            marks.pop(id(self), None)
            if self._lr_multiplier is not None:
                # None for a weight that is not named: the layer is known to have been here.
                marks[id(self)] = (ref(self), _of_weight(self._lr_multiplier, variable))
            setattr(variable, _MARK, marks)
        return variables

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()  # type: ignore[misc]
        return config | {"lr_multiplier": annotation_to_config(self._lr_multiplier)}

    @classmethod
    def from_config(cls, config: dict[str, Any], *args: Any, **kwargs: Any) -> Self:
        config = dict(config)
        multiplier = annotation_from_config(config.pop("lr_multiplier", None))
        layer: Self = super().from_config(config, *args, **kwargs)  # type: ignore[misc]
        layer._set_lr_multiplier(multiplier)
        return layer


def checked_annotation(
    annotation: Annotation | None, place: str, layer: Any = None
) -> Annotation | None:
    """The annotation with every value checked, and every name if the layer has weights.

    None and an empty dict say nothing.
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


def _check_names(annotation: Annotation | None, weights: Sequence[Any], place: str) -> None:
    if not isinstance(annotation, Mapping):
        return
    for key in annotation:
        if not any(_names(key, variable) for variable in weights):
            names = ", ".join(dict.fromkeys(repr(v.name) for v in weights)) or "none"
            raise UnmatchedRuleError(
                f"lr_multiplier of the layer {place!r} names {key!r}, but its weights are {names}."
            )


def _of_weight(annotation: Annotation, variable: Any) -> Value | None:
    """What an annotation says of one weight; the longest of the names that match it counts."""
    if not isinstance(annotation, Mapping):
        return annotation
    keys = [key for key in annotation if _names(key, variable)]
    return annotation[max(keys, key=len)] if keys else None


def _names(key: str, variable: Any) -> bool:
    """Whether a key names the variable: its own name, or a run of the last parts of its path."""
    return key == variable.name or f"/{key}/" in f"/{variable.path}/"


def annotation_to_config(annotation: Annotation | None) -> Any:
    """The annotation as plain data."""
    if isinstance(annotation, Mapping):
        return {
            "by_weight": {
                key: value_to_config(value, function_name) for key, value in annotation.items()
            }
        }
    return None if annotation is None else value_to_config(annotation, function_name)


def annotation_from_config(config: Any) -> Annotation | None:
    """The annotation that ``annotation_to_config`` described."""
    functions = RegisteredFunctions()
    if isinstance(config, Mapping) and "by_weight" in config:
        return {
            key: value_from_config(value, functions) for key, value in config["by_weight"].items()
        }
    return None if config is None else value_from_config(config, functions)
