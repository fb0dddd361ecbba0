"""Strategies: multipliers from a model's own order, from its input to its head."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from layerwise.errors import ConfigError, MultiplierError
from layerwise.multipliers._levels import Layers, check_layers
from layerwise.multipliers._values import Value, as_number
from layerwise.schedules import piecewise_constant


class Strategy(ABC):
    """A way to give every level of a model its multiplier. Subclass it for one of your own.

    A subclass says what the multipliers of ``count`` levels are; Layerwise finds the levels.

    Examples:
        >>> from layerwise.multipliers import Parameter, Strategy, resolve
        >>> class HeadOnly(Strategy):
        ...     def multipliers(self, count):
        ...         return [0.0] * (count - 1) + [1.0]
        >>> plan = resolve([Parameter("conv/kernel"), Parameter("head/kernel")], HeadOnly())
        >>> plan.multipliers(0).tolist()
        [0.0, 1.0]
    """

    layers: Layers | None = None
    """Levels from input to head that this strategy counts by, instead of the model's own."""

    @abstractmethod
    def multipliers(self, count: int) -> Sequence[Value]:
        """The multiplier of each of ``count`` levels, from the input to the head."""

    def to_config(self) -> dict[str, Any]:
        """The strategy as plain JSON data.

        Raises:
            ConfigError: This kind of strategy has no config.
        """
        raise ConfigError(
            f"{self!r} has no config: a saved model can hold layer_decay, discriminative and "
            "gradual_unfreezing; write your strategy's rules as a mapping instead."
        )


@dataclass(frozen=True, kw_only=True)
class _NamedStrategy(Strategy):
    """What the strategies of this file share: a config and a repr from their fields."""

    layers: Layers | None = None

    def __post_init__(self) -> None:
        if self.layers is not None:
            object.__setattr__(self, "layers", check_layers(self.layers))

    def to_config(self) -> dict[str, Any]:
        """The strategy as plain JSON data."""
        arguments = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.layers is not None:
            arguments["layers"] = [list(level) for level in self.layers]
        return {"name": self.name, **arguments}

    @property
    def name(self) -> str:
        """The name of the function that makes it."""
        return _NAMES[type(self)]

    def _call(self, *arguments: str) -> str:
        if self.layers is not None:
            arguments += (f"layers={[list(level) for level in self.layers]!r}",)
        return f"{self.name}({', '.join(arguments)})"


@dataclass(frozen=True, repr=False)
class LayerDecay(_NamedStrategy):
    """See ``layer_decay``."""

    rate: float

    def __post_init__(self) -> None:
        super().__post_init__()
        rate = _positive(self.rate, "layer_decay(rate=")
        if rate > 1:
            raise MultiplierError(
                f"layer_decay(rate={self.rate!r}) would train the input fastest; the rate is above "
                "0 and at most 1."
            )
        object.__setattr__(self, "rate", rate)

    def multipliers(self, count: int) -> list[Value]:
        """``rate ** depth``, where the head has depth 0."""
        return [self.rate**depth for depth in range(count - 1, -1, -1)]

    def __repr__(self) -> str:
        return self._call(f"{self.rate:g}")


@dataclass(frozen=True, repr=False)
class Discriminative(_NamedStrategy):
    """See ``discriminative``."""

    low: float
    high: float = 1.0
    groups: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        low = _positive(self.low, "discriminative(low=")
        high = _positive(self.high, "discriminative(high=")
        if low > high:
            raise MultiplierError(
                f"discriminative(low={self.low!r}, high={self.high!r}): the input's multiplier, "
                "low, is at most the head's, high."
            )
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        object.__setattr__(self, "groups", _check_groups(self.groups, self.name))

    def multipliers(self, count: int) -> list[Value]:
        """``low * (high / low) ** (i / (n - 1))`` for group ``i`` of ``n``; the head's for one."""
        group = _groups(count, self.groups, self.name)
        last = max(group, default=0)
        steps: list[Value] = [self.low * (self.high / self.low) ** (i / last) for i in range(last)]
        steps.append(self.high)  # exactly
        return [steps[i] for i in group]

    def __repr__(self) -> str:
        groups = () if self.groups is None else (f"groups={self.groups}",)
        return self._call(f"{self.low:g}", f"{self.high:g}", *groups)


@dataclass(frozen=True, repr=False)
class GradualUnfreezing(_NamedStrategy):
    """See ``gradual_unfreezing``."""

    every: int
    groups: int | None = None
    start: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "every", _whole(self.every, 1, "gradual_unfreezing(every="))
        object.__setattr__(self, "start", _whole(self.start, 0, "gradual_unfreezing(start="))
        object.__setattr__(self, "groups", _check_groups(self.groups, self.name))

    def multipliers(self, count: int) -> list[Value]:
        """Group ``k`` below the head: 0, and 1 from step ``start + k * every`` on; the head: 1."""
        group = _groups(count, self.groups, self.name)
        last = max(group, default=0)
        waiting: list[Value] = [
            piecewise_constant([self.start + k * self.every], [0.0, 1.0])
            for k in range(1, last + 1)
        ]
        return [1.0 if i == last else waiting[last - i - 1] for i in group]

    def __repr__(self) -> str:
        groups = () if self.groups is None else (f"groups={self.groups}",)
        start = () if not self.start else (f"start={self.start}",)
        return self._call(str(self.every), *groups, *start)


def layer_decay(rate: float, layers: Layers | None = None) -> LayerDecay:
    """Layer-wise learning rate decay: each level trains slower than the one after it.

    A level at depth ``d`` below the head has the multiplier ``rate ** d``: the head 1.0, the
    embeddings the least.

    Args:
        rate: Above 0 and at most 1; 0.65 to 0.9 is usual for transformers.
        layers: Levels from input to head, each a name, a beginning of names, or several; by
            default the model's own.

    Returns:
        A strategy, to be given where rules are taken.

    Raises:
        MultiplierError: An argument is out of its range.

    Examples:
        >>> from layerwise.multipliers import layer_decay
        >>> layer_decay(0.5).multipliers(4)
        [0.125, 0.25, 0.5, 1.0]

    The method is that of ELECTRA (Clark et al. 2020) and BEiT (Bao et al. 2021).
    """
    return LayerDecay(rate, layers=layers)


def discriminative(
    low: float, high: float = 1.0, groups: int | None = None, layers: Layers | None = None
) -> Discriminative:
    """Multipliers that grow by a constant factor from the input to the head.

    Group ``i`` of ``n``, counted from the input, has ``low * (high / low) ** (i / (n - 1))``.

    Args:
        low: The input's multiplier, above 0.
        high: The head's multiplier, at least ``low``.
        groups: Cut the levels into so many runs of equal size (or one apart); by default each
            level is on its own.
        layers: Levels from input to head; by default the model's own.

    Returns:
        A strategy, to be given where rules are taken.

    Raises:
        MultiplierError: An argument is out of its range; or, in use, there are fewer levels than
            groups.

    Examples:
        >>> from layerwise.multipliers import discriminative
        >>> discriminative(0.25).multipliers(3)
        [0.25, 0.5, 1.0]

    The method is that of ULMFiT (Howard and Ruder 2018), ``slice(low, high)`` in fastai.
    """
    return Discriminative(low, high, groups, layers=layers)


def gradual_unfreezing(
    every: int, groups: int | None = None, layers: Layers | None = None, start: int = 0
) -> GradualUnfreezing:
    """Train the head alone first, then one more level after each ``every`` steps.

    Level ``k`` below the head is frozen before step ``start + k * every`` and has the multiplier
    1 from then on; the head has 1.0 throughout.

    Args:
        every: Steps between two levels, at least 1.
        groups: Cut the levels into so many runs of equal size (or one apart); by default each
            level is on its own.
        layers: Levels from input to head; by default the model's own.
        start: Steps by which all of it is later, at least 0.

    Returns:
        A strategy, to be given where rules are taken.

    Raises:
        MultiplierError: An argument is out of its range; or, in use, there are fewer levels than
            groups.

    Examples:
        >>> from layerwise.multipliers import gradual_unfreezing
        >>> body, head = gradual_unfreezing(100).multipliers(2)
        >>> body(99), body(100), head
        (0.0, 1.0, 1.0)

    The method is that of ULMFiT (Howard and Ruder 2018).
    """
    return GradualUnfreezing(every, groups, start, layers=layers)


_NAMES: dict[type, str] = {
    LayerDecay: "layer_decay",
    Discriminative: "discriminative",
    GradualUnfreezing: "gradual_unfreezing",
}

STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "layer_decay": layer_decay,
    "discriminative": discriminative,
    "gradual_unfreezing": gradual_unfreezing,
}
"""The strategies that have a config, by name."""


def _groups(count: int, groups: int | None, name: str) -> list[int]:
    """The group of each of ``count`` levels: contiguous, and as equal as can be."""
    if groups is None:
        return list(range(count))
    if groups > count:
        raise MultiplierError(
            f"{name}(groups={groups}) needs at least as many levels, and the model has {count}; "
            "take fewer groups, or name its levels with layers=."
        )
    return [level * groups // count for level in range(count)]


def _check_groups(groups: object, name: str) -> int | None:
    return None if groups is None else _whole(groups, 1, f"{name}(groups=")


def _positive(value: object, where: str) -> float:
    number = as_number(value)
    if number is None or not math.isfinite(number) or number <= 0:
        raise MultiplierError(f"{where}{value!r}) has to be a finite number above 0.")
    return number


def _whole(value: object, least: int, where: str) -> int:
    number = as_number(value)
    if number is None or not math.isfinite(number) or number < least or number != int(number):
        raise MultiplierError(f"{where}{value!r}) has to be a whole number of at least {least}.")
    return int(cast("float", value))
