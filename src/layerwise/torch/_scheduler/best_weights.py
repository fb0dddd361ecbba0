"""The weights of the best report of each plateau that restores them."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from torch import Tensor, nn

from layerwise._text import shown
from layerwise.errors import ConfigError, ScheduleError
from layerwise.schedules import PlateauEvent, plateau


class BestWeights:
    """Keeps a model's weights and buffers at a plateau's best, and restores them when it fires."""

    def __init__(self) -> None:
        self._kept: dict[plateau, dict[str, Any]] = {}

    def check(self, events: Iterable[PlateauEvent], model: nn.Module | None) -> None:
        """Raise unless there is a model, if one is needed.

        Raises:
            ScheduleError: There is none.
        """
        needs = [event.when for event in events if event.when.restore_best]
        if needs and model is None:
            raise ScheduleError(
                f"{needs[0]!r} restores the best weights, so that a report must have the model: "
                "scheduler.report(metrics, model=model)."
            )

    def follow(self, events: Iterable[PlateauEvent], model: nn.Module | None) -> None:
        """Keep the weights after a best report, and restore those before a firing."""
        for event in events:
            if model is None or not event.when.restore_best:
                continue
            if event.is_best:
                self._kept[event.when] = _copied(model.state_dict())
            elif event.fired and event.when in self._kept:
                model.load_state_dict(self._kept[event.when])

    def state_dict(self) -> list[dict[str, Any]]:
        """What is kept, each with the config of its plateau."""
        return [
            {"when": when.to_config(), "weights": weights} for when, weights in self._kept.items()
        ]

    @classmethod
    def restored(cls, state: object, whens: Iterable[plateau]) -> Self:
        """What a state keeps for these plateaus.

        Raises:
            ConfigError: It is no such state.
        """
        if not isinstance(state, list):
            raise ConfigError(
                f"The best weights of a ScheduleLR must be a list, got {shown(state)}."
            )
        made, known = cls(), set(whens)
        for each in state:
            match each:
                case {"when": dict(config), "weights": Mapping() as weights}:
                    when = plateau.from_config(config)
                    if when in known:
                        made._kept[when] = _copied(weights)
                case _:
                    raise ConfigError(f"{shown(each)} has no best weights of a plateau.")
        return made


def _copied(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else value
        for name, value in weights.items()
    }
