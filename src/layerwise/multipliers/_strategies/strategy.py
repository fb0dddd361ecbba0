"""Strategies: multipliers from a model, and what those that have a config share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from layerwise.errors import ConfigError
from layerwise.multipliers._levels import Layers, check_layers, layers_config
from layerwise.multipliers._stacked import Stacked, check_stacked
from layerwise.multipliers._values import Value


class AnyStrategy:
    """What gives multipliers without naming parameters: a strategy by level, or by parameter.

    Examples:
        >>> from layerwise import layer_decay, lora_plus
        >>> from layerwise.multipliers import AnyStrategy
        >>> isinstance(layer_decay(0.5), AnyStrategy), isinstance(lora_plus(), AnyStrategy)
        (True, True)
    """

    def to_config(self) -> dict[str, Any]:
        """The strategy as plain JSON data.

        Raises:
            ConfigError: This kind of strategy has no config.
        """
        raise ConfigError(
            f"{self!r} has no config: only {', '.join(STRATEGIES)} can be saved. Write the rules "
            "of your strategy as a mapping instead."
        )


class Strategy(AnyStrategy, ABC):
    """A multiplier for each level of a model. Subclass it to write a strategy.

    A subclass gives the multipliers of ``count`` levels; Layerwise finds the levels.

    Attributes:
        layers: Levels from input to head for this strategy to count, or None for the model's.
        stacked: Where layers are stacked in one array (Optax), each to count as a level, or None.

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
    stacked: Stacked | None = None

    @abstractmethod
    def multipliers(self, count: int) -> Sequence[Value]:
        """The multipliers of ``count`` levels, from the input to the head."""


STRATEGIES: dict[str, "type[BuiltIn]"] = {}
"""The strategies that have a config, by name; each enters itself when its class is made."""


@dataclass(frozen=True)
class BuiltIn(AnyStrategy):
    """What the strategies of Layerwise share: a config, made from their fields."""

    def __init_subclass__(cls, shared: bool = False) -> None:
        if not shared:
            STRATEGIES[cls.__name__] = cls

    def to_config(self) -> dict[str, Any]:
        """The strategy as plain JSON data."""
        return {"name": type(self).__name__, **self.arguments()}

    def arguments(self) -> dict[str, Any]:
        """What the strategy was made with, as plain JSON data."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def keep(self, **checked: object) -> None:
        """Set fields to their checked values."""
        for name, value in checked.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class BuiltInByLevel(BuiltIn, Strategy, shared=True):
    """What the strategies by level share: the arguments that say what the levels are."""

    def arguments(self) -> dict[str, Any]:
        """What the strategy was made with, as plain JSON data."""
        arguments = super().arguments()
        if self.stacked is None:
            del arguments["stacked"]
        if self.layers is not None:
            arguments["layers"] = layers_config(check_layers(self.layers))
        return arguments

    def keep(self, **checked: object) -> None:
        """Set fields to their checked values; layers and stacks are checked here."""
        super().keep(
            **checked, layers=check_layers(self.layers), stacked=check_stacked(self.stacked)
        )

    def call(self, *arguments: str, **more: int | None) -> str:
        """The call that makes the strategy; of ``more``, what is neither None nor 0."""
        texts = [*arguments, *(f"{name}={value}" for name, value in more.items() if value)]
        if self.layers is not None:
            texts.append(f"layers={[list(level) for level in self.layers]!r}")
        if self.stacked is not None:
            texts.append(f"stacked={self.stacked!r}")
        return f"{type(self).__name__}({', '.join(texts)})"
