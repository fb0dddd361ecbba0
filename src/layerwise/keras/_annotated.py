"""Multipliers that belong to a layer: written on it, and saved with it.

The layer keeps its multipliers in its config and marks its weights with them whenever it is
asked for its weights, which is how every model and training loop finds them. A weight can thus
be marked before or after it exists, and also inside a layer built of other layers.
"""

from collections.abc import Mapping
from typing import Any, Self
from weakref import ref

from layerwise.errors import UnmatchedRuleError
from layerwise.keras._functions import RegisteredFunctions, function_name
from layerwise.multipliers import check_value, value_from_config, value_to_config

_MARK = "_layerwise_multipliers"

Value = Any
Annotation = Value | Mapping[str, Value]


def annotations_of(variable: Any) -> list[tuple[Any, Any]]:
    """The layers that gave a variable a multiplier, each with the multiplier."""
    marks: dict[int, tuple[ref[Any], Any]] = getattr(variable, _MARK, {})
    return [(layer, value) for mark, value in marks.values() if (layer := mark()) is not None]


class Annotated:
    """What a layer class gains: ``lr_multiplier`` in its arguments, config and weights."""

    _lr_multiplier: Annotation | None = None

    def __init__(self, *args: Any, lr_multiplier: Annotation | None = None, **kwargs: Any) -> None:
        checked = _checked(lr_multiplier, type(self).__name__)
        super().__init__(*args, **kwargs)
        self._set_lr_multiplier(checked)

    @property
    def lr_multiplier(self) -> Annotation | None:
        """A number, schedule or callable for all weights, or a dict of them by weight name."""
        return self._lr_multiplier

    @lr_multiplier.setter
    def lr_multiplier(self, value: Annotation | None) -> None:
        self._set_lr_multiplier(_checked(value, self.name))  # type: ignore[attr-defined]

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

    def _mark(self, variables: list[Any]) -> list[Any]:
        matched: set[str] = set()
        for variable in variables:
            marks = getattr(variable, _MARK, {})
            marks.pop(id(self), None)
            multiplier = self._lr_multiplier
            if isinstance(multiplier, Mapping):
                keys = [key for key in multiplier if _names(key, variable)]
                matched.update(keys)
                multiplier = multiplier[max(keys, key=len)] if keys else None
            if multiplier is not None and getattr(variable, "trainable", False) is not None:
                setattr(variable, _MARK, marks | {id(self): (ref(self), multiplier)})
        if isinstance(self._lr_multiplier, Mapping) and getattr(self, "built", False) and variables:
            self._check_all_matched(matched, variables)
        return variables

    def _check_all_matched(self, matched: set[str], variables: list[Any]) -> None:
        unmatched = [key for key in self._lr_multiplier or () if key not in matched]
        if unmatched:
            names = ", ".join(repr(v.name) for v in variables)
            raise UnmatchedRuleError(
                f"lr_multiplier of the layer {self.name!r} names {unmatched[0]!r}, "  # type: ignore[attr-defined]
                f"but its weights are {names}."
            )

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


def _checked(annotation: Annotation | None, place: str) -> Annotation | None:
    """The annotation with every value checked; None and an empty dict say nothing."""
    if annotation is None:
        return None
    if isinstance(annotation, Mapping):
        return {
            str(key): check_value(value, f"lr_multiplier[{key!r}] of {place}")
            for key, value in annotation.items()
        } or None
    return check_value(annotation, f"lr_multiplier of {place}")


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
