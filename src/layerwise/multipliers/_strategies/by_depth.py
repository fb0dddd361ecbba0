"""Strategies by depth: multipliers from the order of a model's layers, from input to head."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from layerwise._checks import number, whole
from layerwise._numbers import exact_text
from layerwise._text import shown
from layerwise.errors import MultiplierError
from layerwise.multipliers._levels import Layers
from layerwise.multipliers._stacked import Stacked
from layerwise.multipliers._strategies.strategy import BuiltInByLevel
from layerwise.multipliers._values import Value
from layerwise.schedules import on_plateau, piecewise_constant, plateau


@dataclass(frozen=True, repr=False)
class layer_decay(BuiltInByLevel):
    r"""Layer-wise learning rate decay: each level learns more slowly than the next one.

    The multiplier of a level at depth $d$ below the head is

    $$\text{rate}^d$$

    so that it is 1 for the head and smallest for the embeddings.

    Use it as rules, or in a list of rules.

    Args:
        rate: The factor from one level to the one below it, above 0 and at most 1. For
            transformers, 0.65 to 0.9 is usual.
        layers: Levels from input to head, each a name, the start of names, or a list of these; by
            default the model's.
        stacked: In Optax, where layers are stacked in one leaf, as ``nn.scan`` and ``nnx.vmap`` do:
            a name, or the start of names, and the axis: ``{"layers": 0}``. Each is a level.

    Raises:
        MultiplierError: An argument is out of its range.

    Examples:
        >>> from layerwise.multipliers import layer_decay
        >>> layer_decay(0.5).multipliers(4)
        [0.125, 0.25, 0.5, 1.0]

    Source: ELECTRA (Clark et al., 2020) and BEiT (Bao et al., 2021).
    """

    rate: float
    layers: Layers | None = None
    stacked: Stacked | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        rate = number(self.rate, "layer_decay: rate", MultiplierError, above=0)
        if rate > 1:
            raise MultiplierError(
                f"layer_decay: rate must be at most 1, got {self.rate!r}, which would train the "
                "input fastest."
            )
        self.keep(rate=rate)

    def multipliers(self, count: int) -> list[Value]:
        """``rate ** depth``, with depth 0 for the head."""
        return [self.rate**depth for depth in range(count - 1, -1, -1)]

    def __repr__(self) -> str:
        return self.call(exact_text(self.rate))


@dataclass(frozen=True, repr=False)
class discriminative(BuiltInByLevel):
    r"""Multipliers that grow by a constant factor from the input to the head.

    The multiplier of group $i$ of $n$, counted from 0 at the input, is

    $$\text{low} \cdot (\text{high} / \text{low})^{i / (n - 1)}$$

    Use it as rules, or in a list of rules.

    Args:
        low: The multiplier at the input, above 0.
        high: The multiplier of the head, at least ``low``.
        groups: Divide the levels into this many groups of neighbours, as equal in size as possible;
            by default each level is a group.
        layers: Levels from input to head; by default the model's.
        stacked: In Optax, where layers are stacked in one leaf, as ``nn.scan`` and ``nnx.vmap`` do:
            a name, or the start of names, and the axis: ``{"layers": 0}``. Each is a level.

    Raises:
        MultiplierError: An argument is out of its range; or, when used, there are fewer levels than
            groups.

    Examples:
        >>> from layerwise.multipliers import discriminative
        >>> discriminative(0.25).multipliers(3)
        [0.25, 0.5, 1.0]

    Source: ULMFiT (Howard and Ruder, 2018); ``slice(low, high)`` in fastai.
    """

    low: float
    high: float = 1.0
    groups: int | None = None
    layers: Layers | None = None
    stacked: Stacked | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        low = number(self.low, "discriminative: low", MultiplierError, above=0)
        high = number(self.high, "discriminative: high", MultiplierError, above=0)
        if low > high:
            raise MultiplierError(
                f"discriminative: low, the input's multiplier, must be at most high={self.high!r}, "
                f"the head's, got {self.low!r}."
            )
        self.keep(low=low, high=high, groups=_check_groups(self.groups, "discriminative"))

    def multipliers(self, count: int) -> list[Value]:
        """``low * (high / low) ** (i / (n - 1))`` for group ``i`` of ``n``; the last: ``high``."""
        group = _groups(count, self.groups, "discriminative")
        last = max(group, default=0)
        steps: list[Value] = [self.low * (self.high / self.low) ** (i / last) for i in range(last)]
        steps.append(self.high)  # exactly
        return [steps[i] for i in group]

    def __repr__(self) -> str:
        return self.call(exact_text(self.low), exact_text(self.high), groups=self.groups)


@dataclass(frozen=True, repr=False)
class gradual_unfreezing(BuiltInByLevel):
    r"""Train the head alone at first, and one more level every ``every`` steps, or on a plateau.

    The multiplier of level $k$ below the head is 0, which is frozen, before step

    $$\text{start} + k \cdot \text{every}$$

    and 1 from then on. The head's is always 1. With ``when=`` it is 1 from the $k$-th time on that
    a plateau fires: whenever a metric has stopped getting better, one more level trains.

    Use it as rules, or in a list of rules. In Keras and Optax Adam has one count of updates for all
    weights, so that the first updates of a level that thaws late are several times as large as its
    rate says: take a ``beta_2`` of about 0.98, or rules by name, each with a warm-up of its own:
    ``constant(0.0, steps=500) >> warmup(1000)``.

    Args:
        every: Steps from one level to the next, at least 1; or None with ``when``.
        groups: Divide the levels into this many groups of neighbours, as equal in size as possible;
            by default each level is a group.
        layers: Levels from input to head; by default the model's.
        start: Steps by which everything happens later, at least 0.
        stacked: In Optax, where layers are stacked in one leaf, as ``nn.scan`` and ``nnx.vmap`` do:
            a name, or the start of names, and the axis: ``{"layers": 0}``. Each is a level.
        when: A ``plateau`` that decides in place of ``every``.

    Raises:
        MultiplierError: An argument is out of its range; or, when used, there are fewer levels than
            groups.

    Examples:
        >>> from layerwise.multipliers import gradual_unfreezing
        >>> from layerwise.schedules import plateau
        >>> body, head = gradual_unfreezing(100).multipliers(2)
        >>> body(99), body(100), head
        (0.0, 1.0, 1.0)
        >>> body, head = gradual_unfreezing(when=plateau("val_loss", patience=3)).multipliers(2)
        >>> body.after(0), body.after(1), head
        (0.0, 1.0, 1.0)

    Source: ULMFiT (Howard and Ruder, 2018).
    """

    every: int | None = None
    groups: int | None = None
    layers: Layers | None = None
    start: int = 0
    stacked: Stacked | None = field(default=None, hash=False)
    when: plateau | None = None

    def __post_init__(self) -> None:
        name = "gradual_unfreezing"
        if (self.every is None) == (self.when is None):
            raise MultiplierError(
                f"{name} must have either every=, in steps, or when=plateau('val_loss')."
            )
        every, when = self.every, cast(object, self.when)
        if every is not None:
            every = whole(every, f"{name}: every", MultiplierError, at_least=1)
        if isinstance(when, Mapping):  # from a config
            when = plateau.from_config(when)
        if when is not None and not isinstance(when, plateau):
            raise MultiplierError(
                f"{name}: when must be a plateau, such as plateau('val_loss', patience=3), got "
                f"{shown(when)}."
            )
        if when is not None and self.start:
            raise MultiplierError(f"{name}: start goes with every=, and not with when=.")
        self.keep(
            every=every,
            when=when,
            start=whole(self.start, f"{name}: start", MultiplierError),
            groups=_check_groups(self.groups, name),
        )

    def multipliers(self, count: int) -> list[Value]:
        """Group ``k`` below the head: 0, then 1 from its step or firing on; the head: 1."""
        group = _groups(count, self.groups, "gradual_unfreezing")
        last = max(group, default=0)
        waiting = [self._unfreezing(k) for k in range(1, last + 1)]
        return [1.0 if i == last else waiting[last - i - 1] for i in group]

    def _unfreezing(self, k: int) -> Value:
        if self.when is not None:
            return on_plateau(self.when, [0.0] * k + [1.0])
        assert self.every is not None
        return piecewise_constant([self.start + k * self.every], [0.0, 1.0])

    def to_config(self) -> dict[str, Any]:
        """The strategy as plain JSON data."""
        config = super().to_config()
        del config["when"]
        return config if self.when is None else config | {"when": self.when.to_config()}

    def __repr__(self) -> str:
        first = f"when={self.when!r}" if self.every is None else str(self.every)
        return self.call(first, groups=self.groups, start=self.start)


def _groups(count: int, groups: int | None, name: str) -> list[int]:
    """The group of each of ``count`` levels: neighbours, in groups as equal as possible."""
    if groups is None:
        return list(range(count))
    if groups > count:
        raise MultiplierError(
            f"{name}: groups={groups} must be at most the number of levels, which is {count}. Use "
            "fewer groups, or name the levels with layers=."
        )
    return [level * groups // count for level in range(count)]


def _check_groups(groups: object, name: str) -> int | None:
    return None if groups is None else whole(groups, f"{name}: groups", MultiplierError, at_least=1)
