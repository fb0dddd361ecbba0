"""The weights that an optimizer was built on, as its config holds them.

Rules are resolved by the names of the weights, and Keras' loader changes these: it builds inner
layers by themselves, so that ``model/encoder/lstm_cell/kernel`` comes back as ``lstm_cell/kernel``,
which another rule may match. The order of the weights stays, and Keras itself relies on it for the
optimizer's state. So the names and multipliers that the weights had are saved in this order and
given back to the loaded weights before the rules are resolved again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from keras import Variable

from layerwise.errors import ConfigError, OptimizerError
from layerwise.keras._annotated.annotations import annotations_of
from layerwise.keras._registered_functions import RegisteredFunctions, function_name
from layerwise.keras._restored import full_name, restore_annotation, restore_name
from layerwise.multipliers import (
    Parameter,
    Value,
    check_value,
    value_from_config,
    value_to_config,
)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class SavedWeights:
    """Name, shape and annotation of each weight, in the optimizer's order."""

    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    annotations: tuple[Value | None, ...]

    @classmethod
    def of(cls, parameters: Sequence[Parameter]) -> Self:
        """Those of the parameters that rules were resolved for."""
        return cls(
            tuple(p.name for p in parameters),
            tuple(p.shape for p in parameters),
            tuple(p.annotation for p in parameters),
        )

    def to_config(self) -> dict[str, Any]:
        """Plain data; an annotation of many weights is written once."""
        written: list[dict[str, Any]] = []
        places: list[int | None] = []
        for name, annotation in zip(self.names, self.annotations, strict=True):
            if annotation is None:
                places.append(None)
                continue
            where = f"The annotation of {name!r}"
            data = value_to_config(annotation, function_name, where)
            if data not in written:
                written.append(data)
            places.append(written.index(data))
        return {
            "names": list(self.names),
            "shapes": [list(shape) for shape in self.shapes],
            "annotations": written,
            "annotation_of": places,
        }

    @classmethod
    def from_config(cls, config: object) -> Self:
        """What ``to_config`` wrote.

        Raises:
            ConfigError: It is something else.
        """
        match config:
            case {
                "names": [*names],
                "shapes": [*shapes],
                "annotations": [*annotations],
                "annotation_of": [*places],
            } if len(names) == len(shapes) == len(places):
                values = [_value(data) for data in annotations]
                return cls(
                    tuple(map(str, names)),
                    tuple(tuple(map(int, shape)) for shape in shapes),
                    tuple(None if place is None else values[place] for place in places),
                )
        raise ConfigError(
            f"The config of an LRMultiplier has {config!r} as its weights, which this Layerwise "
            "doesn't know. Use the Layerwise that wrote it, or a newer one."
        )

    def restore(self, variables: Sequence[Variable]) -> None:
        """Give weights the names and multipliers that they had when they were saved.

        Args:
            variables: The weights that the optimizer is used for now.

        Raises:
            OptimizerError: They are others. Nothing has been changed then.
        """
        for variable, place in zip(variables, self._places(variables), strict=True):
            if place is None:
                continue
            restore_name(variable, self.names[place])
            found = annotations_of(variable)
            present, saved = found[0][1] if found else None, self.annotations[place]
            if present != saved:
                restore_annotation(variable, saved)

    def _places(self, variables: Sequence[Variable]) -> list[int | None]:
        """The place of each variable among the saved ones; None for one that is new."""
        names = [full_name(v) for v in variables]
        if names == list(self.names):
            return list(range(len(names)))
        known = {name: place for place, name in enumerate(self.names)}
        distinct = len(known) == len(self.names) and len(set(names)) == len(names)
        if distinct and (known.keys() <= set(names) or set(names) <= known.keys()):
            return [known.get(name) for name in names]
        self._check_order(names, [tuple(v.shape) for v in variables])
        return list(range(len(names)))

    def _check_order(self, names: Sequence[str], shapes: Sequence[Shape]) -> None:
        """Raise unless weights of these names and shapes can be the saved ones, in their order."""
        if len(names) != len(self.names):
            count = f"{len(self.names)} weights, and now there are {len(names)}"
            raise _other_weights(count)
        if list(shapes) != list(self.shapes):
            place = next(i for i, shape in enumerate(shapes) if shape != self.shapes[i])
            raise _other_weights(
                f"{self.names[place]!r} of shape {self.shapes[place]} as its weight {place}, which "
                f"now is {names[place]!r} of shape {shapes[place]}"
            )
        others, last_parts = set(self.names), {_last(name) for name in self.names}
        for place, (name, saved) in enumerate(zip(names, self.names, strict=True)):
            moved = name in others and not _within(name, saved)
            if moved or (_last(name) != _last(saved) and _last(name) in last_parts):
                raise _other_weights(
                    f"{saved!r} as its weight {place}, which now is {name!r}: their order differs"
                )


def _other_weights(difference: str) -> OptimizerError:
    return OptimizerError(
        f"This LRMultiplier comes from a config that was saved with other weights. It had "
        f"{difference}. Their names differ as well, so it is not known which rate belongs to "
        "which. Load the model with keras.saving.load_model(path, compile=False), or leave out the "
        "saved optimizer, and compile it with a new LRMultiplier(optimizer, rules)."
    )


def _last(name: str) -> str:
    return _without_numbers(name.rpartition("/")[2])


def _within(name: str, whole: str) -> bool:
    """Whether a path is what is left of another that lost layers, up to Keras' own numbers."""
    parts = iter(_without_numbers(whole).split("/"))
    return all(part in parts for part in _without_numbers(name).split("/"))


def _without_numbers(name: str) -> str:
    """A path without the numbers that Keras gives to layers of one kind: ``dense_3``."""
    return re.sub(r"_\d+(?=/|$)", "", name)


def _value(data: object) -> Value:
    value = value_from_config(data, RegisteredFunctions())
    return check_value(value, "An annotation that was saved")
