"""The weights of the best report of each plateau that restores them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from layerwise.errors import ScheduleError
from layerwise.schedules import PlateauEvent, PlateauState, plateau


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

    def state_dict(self, whens: Iterable[plateau]) -> list[dict[str, Any]]:
        """What is kept for each of these plateaus; empty where nothing is."""
        return [self._kept.get(when, {}) for when in whens]

    def load_state_dict(
        self, states: Mapping[plateau, PlateauState], kept: Sequence[Mapping[str, Any]]
    ) -> None:
        """Take over what ``state_dict`` gave for these plateaus, in their order."""
        pairs = zip(states, kept, strict=False)
        self._kept = {when: _copied(weights) for when, weights in pairs if weights}


def _copied(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else value
        for name, value in weights.items()
    }
