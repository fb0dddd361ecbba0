"""Multipliers that belong to a layer: written on it, and saved with it.

The layer keeps its multipliers in its config. It marks its weights with them when it is built and
whenever it is asked for its weights, which is how models and training loops find them. So it does
not matter whether the weights exist when a multiplier is set, and layers inside the layer are
reached, too.
"""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Self, TypeAlias
from weakref import ref

import keras
from keras import Variable

from layerwise.errors import UnmatchedRuleError
from layerwise.keras._internals.layer import LayerHooks
from layerwise.keras._registered_functions import RegisteredFunctions, function_name
from layerwise.keras._restored import forget_annotations, full_name, restored_annotation
from layerwise.multipliers import Value, check_value, value_from_config, value_to_config

_MARK = "_layerwise_multipliers"

_LORA = re.compile(r"\blora_(\w+)_[ab]$")
"""What Keras calls the two weights that train in place of a frozen one, such as a kernel."""

Annotation: TypeAlias = Value | Mapping[str, Value]
"""A multiplier for all weights of a layer, or a dict of multipliers by weight name."""


def annotations_of(variable: Variable) -> list[tuple[str, Value]]:
    """The layers that gave a variable a multiplier, by name, each with the multiplier."""
    restored = restored_annotation(variable)
    if restored is not None:
        return [] if restored.value is None else [(restored.layer, restored.value)]
    return [(layer.name, value) for layer, value in _marks(variable) if value is not None]


def note_all_saved(variables: Iterable[Variable]) -> None:
    """Note that the file which is being written holds the multipliers of these weights."""
    for variable in variables:
        for layer, _ in _marks(variable):
            note_saved(layer)


def check_names(variables: Sequence[Variable]) -> None:
    """Raise if the annotation of a layer with any of these names a weight that it lacks."""
    layers = {id(layer): layer for v in variables for layer, _ in _marks(v)}
    for layer in layers.values():
        _check_names(layer.lr_multiplier, layer.weights, layer.name)


def _marks(variable: Variable) -> "list[tuple[Annotated, Value | None]]":
    marks: dict[int, tuple[ref[Annotated], Value | None]] = getattr(variable, _MARK, {})
    return [(layer, value) for mark, value in marks.values() if (layer := mark()) is not None]


class Annotated(LayerHooks):
    """Adds ``lr_multiplier`` to the arguments, config and weights of a layer class."""

    _lr_multiplier: Annotation | None = None
    _given_later = False  # to a layer that was built, so that no __init__ gives it again
    _in_config = False  # of the model that is being saved

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
        self._given_later = self.built
        forget_annotations(super().weights)

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

    def save_assets(self, directory: str) -> None:
        """Called while a ``.keras`` file is written, when all configs have been."""
        of_the_layer = getattr(super(), "save_assets", None)
        if of_the_layer is not None:
            of_the_layer(directory)
        if self._given_later and self._lr_multiplier is not None and not self._in_config:
            warnings.warn(
                f"The file does not hold the lr_multiplier of {self.name!r}, which is made in the "
                "__init__ of the layer around it. Compile the model with an LRMultiplier and call "
                "optimizer.build(model.trainable_variables) before saving, or give the multiplier "
                f"in that __init__, or annotate the layer around it: {{{self.name!r}: ...}}.",
                stacklevel=2,
            )
        self._in_config = False

    def get_config(self) -> dict[str, object]:
        config: dict[str, object] = super().get_config()
        note_saved(self)
        return config | {"lr_multiplier": annotation_to_config(self._lr_multiplier, self.name)}

    @classmethod
    def from_config(cls, config: Mapping[str, object], *args: object, **kwargs: object) -> Self:
        plain = dict(config)
        multiplier = annotation_from_config(plain.pop("lr_multiplier", None))
        layer: Self = super().from_config(plain, *args, **kwargs)
        layer._set_lr_multiplier(multiplier)
        return layer


def note_saved(layer: Annotated) -> None:
    """Note that the file which is being written holds the multipliers of a layer."""
    layer._in_config = True


def forget(layer: keras.Layer) -> None:
    """Remove all that ``Annotated`` keeps in a layer."""
    for name in ("_lr_multiplier", "_given_later", "_in_config"):
        vars(layer).pop(name, None)


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
        if not any(_names(key, full_name(variable)) for variable in weights):
            names = ", ".join(dict.fromkeys(repr(v.name) for v in weights)) or "none"
            raise UnmatchedRuleError(
                f"lr_multiplier of the layer {place!r} names {key!r}, but its weights are {names}."
            )


def _of_weight(annotation: Annotation, variable: Variable) -> Value | None:
    """The multiplier of one weight; the longest name that matches it counts.

    A weight of LoRA that is not named itself has that of the frozen weight which it trains for.
    """
    if not isinstance(annotation, Mapping):
        return annotation
    path = full_name(variable)
    replaced = _LORA.sub(r"\1", path)
    named = [key for key in annotation if replaced != path and f"/{path}".endswith(f"/{key}")]
    keys = named or [key for key in annotation if _names(key, replaced)]
    return annotation[max(keys, key=len)] if keys else None


def _names(key: str, path: str) -> bool:
    """Whether a key is a path's last part, or consecutive parts of it."""
    return f"/{key}/" in f"/{path}/"


def annotation_to_config(annotation: Annotation | None, place: str) -> object:
    """The annotation of the layer of this name as plain data."""
    where = f"lr_multiplier of the layer {place!r}"
    if isinstance(annotation, Mapping):
        return {
            "by_weight": {
                key: value_to_config(value, function_name, where)
                for key, value in annotation.items()
            }
        }
    return None if annotation is None else value_to_config(annotation, function_name, where)


def annotation_from_config(config: object) -> Annotation | None:
    """The annotation that ``annotation_to_config`` described."""
    if isinstance(config, Mapping) and "by_weight" in config:
        return {key: _from_config(value) for key, value in config["by_weight"].items()}
    return None if config is None else _from_config(config)


def _from_config(config: object) -> Value:
    value = value_from_config(config, RegisteredFunctions())
    return check_value(value, "An lr_multiplier that was saved")
