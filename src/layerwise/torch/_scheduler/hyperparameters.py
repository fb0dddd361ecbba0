"""What is scheduled beside the learning rate: momentum, betas and weight decay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

from layerwise.errors import ConfigError, OptimizerError, ScheduleError
from layerwise.multipliers import StepValue, Value
from layerwise.torch._groups.base_rate import BASE_DECAY, Setting, base_decay_of
from layerwise.torch._optimizer.optimizer_set import OptimizerPart, OptimizerSet
from layerwise.torch._scheduler.group_schedules import (
    GroupSchedules,
    ScheduleSpec,
    SharedValues,
)

Betas: TypeAlias = StepValue | tuple[StepValue | None, StepValue | None]
"""A schedule of the first beta, or one of each, where None keeps the optimizer's."""

BetasSpec: TypeAlias = Betas | list[Betas | None] | Mapping[str, Betas]
"""Betas for all groups, for each in order, or for some groups by name."""

_KEYS = {"momentum": "momentum", "beta1": "betas", "beta2": "betas", "weight_decay": "weight_decay"}


@dataclass(frozen=True)
class Hyperparameters:
    """The schedules of hyperparameters, by ``momentum``, ``beta1``, ``beta2``, ``weight_decay``.

    Momentum and betas are what their schedules say. For weight decay it is a factor on each
    group's, since groups differ in it, and what has none keeps none.
    """

    schedules: Mapping[str, GroupSchedules]

    @classmethod
    def of(
        cls,
        optimizers: OptimizerSet,
        momentum: ScheduleSpec | None,
        betas: BetasSpec | None,
        weight_decay_factor: ScheduleSpec | None,
    ) -> Self:
        """Check what a caller gave.

        Raises:
            OptimizerError: The optimizer has no such hyperparameter.
            ScheduleError: Something given is neither a schedule nor a callable, or the schedules
                are not for these groups.
        """
        made = {
            "momentum": GroupSchedules.of(momentum, "momentum"),
            "beta1": GroupSchedules.of(_beta(betas, 0), "betas"),
            "beta2": GroupSchedules.of(_beta(betas, 1), "betas"),
            "weight_decay": GroupSchedules.of(weight_decay_factor, "weight_decay_factor"),
        }
        found = cls({name: schedules for name, schedules in made.items() if schedules})
        found.check(optimizers)
        return found

    def check(self, optimizers: OptimizerSet) -> None:
        """Raise unless the groups of the optimizers have what is scheduled.

        A schedule for all groups is for those that have its hyperparameter, since Muon has a
        momentum where AdamW has betas.

        Raises:
            OptimizerError: They have not.
            ScheduleError: The schedules are not for these groups.
        """
        names, owners = optimizers.names(), optimizers.owners()
        for name, schedules in self.schedules.items():
            key = _KEYS[name]
            groups = optimizers.groups()
            values = schedules.for_groups(names, owners)
            if schedules.kind == "all" and any(key in group for group in groups):
                continue
            for part in optimizers.parts():
                pairs = zip(part.optimizer.param_groups, part.cut(values), strict=True)
                for group, value in pairs:
                    if value is not None and key not in group:
                        other = {"momentum": "betas", "betas": "momentum"}.get(key)
                        hint = f"; it has {other}" if other in group else ""
                        kind = type(part.optimizer).__name__
                        raise OptimizerError(f"{kind} has no {key}{hint}.")

    def at(
        self,
        step: float,
        part: OptimizerPart,
        decays: Sequence[Value | None],
        counts: Mapping[str, float] | None = None,
        apply: Callable[[Value | None], Value | None] = lambda value: value,
    ) -> list[dict[str, Setting]]:
        """What is to be written into each group of an optimizer at a step.

        Args:
            step: The step.
            part: The optimizer.
            decays: The multiplier of each group's weight decay that moves, or None; empty if no
                group has one.
            counts: What else has been counted, by name.
            apply: Gets each schedule and returns it as it is now, after what metrics decided.

        Raises:
            ScheduleError: A value is no finite number of at least 0, or a beta is not below 1.
        """
        groups = part.optimizer.param_groups
        found: list[dict[str, Setting]] = [{} for _ in groups]
        names, all_names, owners = part.names(), part.whole.names(), part.whole.owners()
        for name, schedules in self.schedules.items():
            followed = [apply(v) for v in part.cut(schedules.for_groups(all_names, owners))]
            values = SharedValues.of(followed, names, name).at(step, counts)
            together = zip(groups, followed, values, names, found, strict=True)
            for group, schedule, value, of_group, new in together:
                if schedule is None or _KEYS[name] not in group:
                    continue
                if name == "momentum":
                    new["momentum"] = value
                elif name == "weight_decay":
                    base = base_decay_of(group)
                    new |= {BASE_DECAY: base, "weight_decay": base * value}
                elif value >= 1:
                    raise ScheduleError(
                        f"The {name} of {of_group!r} is {value} at step {step}; it must be below 1."
                    )
                else:
                    first, second, *others = new.get("betas", group["betas"])
                    pair = (value, second) if name == "beta1" else (first, value)
                    new["betas"] = (*pair, *others)
        if not decays:
            return found
        multipliers = SharedValues.of(decays, names, "decay multiplier").at(step, counts)
        for group, decay, multiplier, new in zip(groups, decays, multipliers, found, strict=True):
            if decay is not None:
                base = base_decay_of(group)
                now = new.get("weight_decay", base)
                assert isinstance(now, float)
                new |= {BASE_DECAY: base, "weight_decay": now * multiplier}
        return found

    def to_config(self) -> dict[str, object]:
        """The schedules as plain data; of a function only its name."""
        return {name: schedules.to_config() for name, schedules in self.schedules.items()}

    def restored(self, config: object) -> Self:
        """Those that a config describes, with the functions of this object in their places.

        Raises:
            ConfigError: The config can't be read, or has a function that is not here.
        """
        if not isinstance(config, Mapping) or not config.keys() <= _KEYS.keys():
            raise ConfigError(f"{config!r} is no config of hyperparameters.")
        none = GroupSchedules.of(None)
        return type(self)(
            {name: self.schedules.get(name, none).restored(data) for name, data in config.items()}
        )


def _beta(betas: BetasSpec | None, place: int) -> ScheduleSpec | None:
    """The schedules of the first or the second beta, in the form in which both were given."""

    def one(given: Betas | None) -> StepValue | None:
        pair = given if isinstance(given, tuple) else (given, None)
        if len(pair) != 2:
            raise ScheduleError(f"betas={given!r} must be one schedule, or a pair of them.")
        return pair[place]

    if isinstance(betas, list):
        return [one(given) for given in betas]
    if isinstance(betas, Mapping):
        found = {name: one(given) for name, given in betas.items()}
        return {name: value for name, value in found.items() if value is not None}
    return one(betas)
