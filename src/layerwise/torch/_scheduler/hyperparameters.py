"""What is scheduled beside the learning rate: momentum, betas and weight decay."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor
from torch.optim import Optimizer

from layerwise.errors import ConfigError, OptimizerError, ScheduleError
from layerwise.multipliers import Value
from layerwise.torch._groups import stored_multiplier
from layerwise.torch._scheduler.group_schedules import StepValue

BASE_DECAY = "initial_weight_decay"

Betas = tuple[StepValue | None, StepValue | None]


@dataclass(frozen=True)
class Hyperparameters:
    """The schedules of hyperparameters, by ``momentum``, ``beta1``, ``beta2``, ``weight_decay``.

    Momentum and betas are what their schedules say; weight decay is that factor of each group's
    own, since groups differ in it, and what has none keeps none.
    """

    values: Mapping[str, Value]

    @classmethod
    def of(
        cls,
        optimizer: Optimizer,
        momentum: StepValue | None,
        betas: StepValue | Betas | None,
        weight_decay: StepValue | None,
    ) -> Self:
        """Check what a caller gave.

        Raises:
            OptimizerError: The optimizer has no such hyperparameter.
            ScheduleError: Something given is neither a schedule nor a callable.
        """
        first, second = betas if isinstance(betas, tuple) else (betas, None)
        given: dict[str, Any] = {
            "momentum": momentum,
            "beta1": first,
            "beta2": second,
            "weight_decay": weight_decay,
        }
        values = {name: value for name, value in given.items() if value is not None}
        for name, value in values.items():
            if not callable(value) or isinstance(value, type):
                raise ScheduleError(
                    f"{name}={value!r} is neither a schedule nor a callable of the step; what "
                    "stays the same belongs to the optimizer."
                )
        made = cls(values)
        made.check(optimizer)
        return made

    def check(self, optimizer: Optimizer) -> None:
        """Raise unless every group of the optimizer has what is scheduled.

        Raises:
            OptimizerError: It has not.
        """
        for name in self.values:
            key = name.rstrip("12").replace("beta", "betas")
            for group in optimizer.param_groups:
                if key not in group:
                    other = {"momentum": "betas", "betas": "momentum"}.get(key)
                    hint = f"; it has {other}" if other in group else ""
                    raise OptimizerError(f"{type(optimizer).__name__} has no {key}{hint}.")

    def at(self, step: int, groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What each group's hyperparameters are at a step."""
        if not self.values:
            return [{}] * len(groups)
        now = {name: value_at(value, step, name) for name, value in self.values.items()}
        for name, number in now.items():
            if name.startswith("beta") and number >= 1:
                raise ScheduleError(f"{name} is {number} at step {step}; it has to be below 1.")
        found: list[dict[str, Any]] = []
        for group in groups:
            new: dict[str, Any] = {}
            if "momentum" in now:
                new["momentum"] = now["momentum"]
            if "beta1" in now or "beta2" in now:
                old = group["betas"]
                new["betas"] = (now.get("beta1", old[0]), now.get("beta2", old[1]))
            if "weight_decay" in now:
                base = group.get(BASE_DECAY, group["weight_decay"])
                new |= {BASE_DECAY: base, "weight_decay": base * now["weight_decay"]}
            found.append(new)
        return found

    def to_config(self) -> dict[str, Any]:
        """The schedules as plain data; of a function only its name."""
        return {name: stored_multiplier.described(value) for name, value in self.values.items()}

    def restored(self, config: Any) -> Self:
        """Those that a config describes, with these functions in their places.

        Raises:
            ConfigError: The config can't be read, or has a function that is not here.
        """
        if not isinstance(config, Mapping):
            raise ConfigError(f"{config!r} is no config of hyperparameters.")
        return type(self)(
            {
                name: stored_multiplier.revived(one, self.values.get(name))
                for name, one in config.items()
            }
        )


def value_at(value: Value, step: int, where: str) -> float:
    """A schedule's or callable's value at a step.

    Raises:
        ScheduleError: It is no finite number of at least 0.
    """
    if isinstance(value, float | int):
        return float(value)
    result = value(step)
    try:
        number = float(result)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise ScheduleError(
            f"{where} is {result!r} at step {step}; there it has to be one finite number of at "
            "least 0."
        )
    return number


def write(group: dict[str, Any], key: str, value: Any) -> None:
    """Set a hyperparameter; a tensor is filled in place, so that a compiled step sees it."""
    old = group.get(key)
    if type(old) is float:  # nearly always, and at every step
        group[key] = value
    elif isinstance(old, Tensor):
        old.fill_(value)
    elif isinstance(old, tuple) and any(isinstance(item, Tensor) for item in old):
        for item, new in zip(old, value, strict=True):
            if isinstance(item, Tensor) and item is not new:
                item.fill_(new)
    else:
        group[key] = value
