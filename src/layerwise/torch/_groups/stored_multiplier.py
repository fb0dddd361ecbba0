"""A multiplier that moves, kept in its parameter group.

PyTorch writes parameter groups into the optimizer's checkpoint and replaces them by those of the
checkpoint when it loads one. So the group holds a ``StoredMultiplier``: for everyone a plain
``dict``, the multiplier's config, which ``torch.save`` writes as such and
``torch.load(weights_only=True)`` reads; and beside it the schedule or function itself.

A config brings a schedule back, but not a function. ``OptimizerHooks`` keep the present function
when a state is loaded. A group that is made by hand from another has no hooks; of all that it has,
PyTorch keeps only the parameters then, so they refer to the multiplier as well.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Self

from torch.optim import Optimizer

from layerwise.errors import ConfigError, LayerwiseError, OptimizerError
from layerwise.multipliers import Value, check_value, value_from_config, value_to_config

KEY = "lr_multiplier"
"""Where a group, and its parameters as an attribute, keep a multiplier that moves."""

DECAY_KEY = "decay_multiplier"
"""Where they keep a multiplier of the weight decay that moves."""

KEYS = (KEY, DECAY_KEY)


class StoredMultiplier(dict[str, object]):
    """The config of a multiplier, with the multiplier.

    It is made like a ``dict``, because libraries that move a state to a device rebuild it by its
    type. Such a copy has only the config.

    Attributes:
        value: A schedule, a callable of the step or a number; None in a rebuilt one.
        on_copy: Called with an optimizer that is being made as a copy of another.
    """

    value: Value | None = None
    on_copy: Callable[[Optimizer], object] | None = None

    @classmethod
    def of(cls, value: Value, on_copy: Callable[[Optimizer], object] | None = None) -> Self:
        """A multiplier with its config."""
        made = cls(to_data(value))
        made.value, made.on_copy = value, on_copy
        return made

    def __deepcopy__(self, memo: Mapping[int, object]) -> Self:
        # PyTorch copies the groups that it loads, and a copy has the same function. A copied
        # optimizer has lost its hooks; the memo has it already, still empty.
        on_copy = self.on_copy
        if on_copy is not None:
            for each in list(memo.values()):
                if isinstance(each, Optimizer) and not vars(each):
                    on_copy(each)
        return self

    def __reduce__(self) -> tuple[type, tuple[()], None, None, Iterator[tuple[str, object]]]:
        # In a file it is plain data. torch.load(weights_only=True) can make an OrderedDict.
        return OrderedDict, (), None, None, iter(self.items())


def write_multiplier(
    value: Value, group: dict[str, Any], on_copy: Callable[[Optimizer], object], key: str = KEY
) -> None:
    """Write a multiplier that moves into a group, unless it is there already."""
    if value_in(group.get(key)) is not value:
        group[key] = StoredMultiplier.of(value, on_copy)
        for parameter in group["params"]:
            setattr(parameter, key, group[key])


def read_multiplier(group: Mapping[str, Any], name: str, key: str = KEY) -> Value | None:
    """The multiplier that a group keeps, or None if it keeps none.

    Args:
        group: A parameter group. A number, schedule or function that was put there by hand counts
            too.
        name: The group's name, for the message.
        key: Where it keeps it.

    Raises:
        MultiplierError: What was put there by hand is no multiplier.
        OptimizerError: It is a function, and a checkpoint has brought only its name.
    """
    kept = group.get(key)
    if kept is None:
        return None
    if (value := value_in(kept)) is not None:
        return value
    if not isinstance(kept, Mapping):
        return check_value(kept, f"The group {name!r}")
    parameter = next(iter(group["params"]), None)
    try:
        return from_data(kept, value_in(getattr(parameter, key, None)))
    except ConfigError as error:
        raise OptimizerError(
            f"The multiplier of the group {name!r} can't be read from the checkpoint: {error} "
            "Make the groups by param_groups() with the same rules before loading."
        ) from error


def with_function(saved: dict[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    """A saved group, with the function of the present one if only its name was saved."""
    kept = {}
    for key in KEYS:
        known, loaded = value_in(present.get(key)), saved.get(key)
        if known is not None and value_in(loaded) is None:
            with suppress(ConfigError):
                if from_data(loaded, known) is known:
                    kept[key] = present[key]
    return {**saved, **kept} if kept else saved


def keep_multiplier(
    group: dict[str, Any], name: str, on_copy: Callable[[Optimizer], object]
) -> None:
    """Keep a multiplier that a state has brought as data as what it is, if that can be known."""
    for key in KEYS:
        with suppress(LayerwiseError):
            value = read_multiplier(group, name, key)
            if value is not None:
                write_multiplier(value, group, on_copy, key)


def data_in(kept: object) -> dict[str, object] | None:
    """What a group keeps, as plain data; None for nothing or for what is no multiplier."""
    if isinstance(kept, Mapping):
        return dict(kept)
    with suppress(LayerwiseError):
        return None if kept is None else to_data(check_value(kept, "A group"))
    return None


def value_in(kept: object) -> Value | None:
    """The multiplier itself, if it is in what a group keeps."""
    return kept.value if isinstance(kept, StoredMultiplier) else None


def to_data(value: Value) -> dict[str, object]:
    """A multiplier as plain data; of a function, or a schedule made with one, only its name."""
    try:
        return value_to_config(value, _name)
    except ConfigError:
        return value_to_config(lambda step: value, lambda _: repr(value))


def from_data(data: object, known: Value | None) -> Value:
    """The multiplier that ``to_data`` wrote.

    Args:
        data: The plain data.
        known: The multiplier that is in its place now. It is returned if the data is its own, or
            names a function, which no data can bring along.

    Raises:
        ConfigError: The data can't be read, and there is nothing in its place.
    """
    if known is not None and to_data(known) == data:
        return known
    try:
        value = value_from_config(data)
    except ConfigError:
        if known is None:
            raise
        value_from_config(data, _AnyFunction())  # raises if it isn't for want of a function
        return known
    return check_value(value, "A config")


class _AnyFunction(dict[str, Callable[[object], float]]):
    """Has a function by every name: tells a config that lacks one from one that is wrong."""

    def __missing__(self, name: str) -> Callable[[object], float]:
        return lambda step: 1.0

    def __contains__(self, name: object) -> bool:
        return True


def _name(function: Callable[..., object]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
