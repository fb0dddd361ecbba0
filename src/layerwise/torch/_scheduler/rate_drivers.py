"""The drivers of several optimizers, which go from step to step together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from layerwise.multipliers import Value
from layerwise.schedules import PlateauDecisions, PlateauState, plateau
from layerwise.torch._optimizer.optimizer_set import OptimizerSet
from layerwise.torch._optimizer.rate_changes import bases_of
from layerwise.torch._scheduler.counts import Counts
from layerwise.torch._scheduler.group_schedules import GroupSchedules
from layerwise.torch._scheduler.hyperparameters import Hyperparameters
from layerwise.torch._scheduler.rate_driver import RateDriver


class RateDrivers:
    """Drives the rates of all optimizers of a ``ScheduleLR``; see ``RateDriver``.

    Args:
        optimizers: The optimizers.
        schedules: Which schedule each of all their groups follows.
        hyperparameters: What is scheduled beside the rates.
        counts: What has been counted beside updates.

    Attributes:
        each: The driver of each optimizer, in order.
        decisions: What metrics have decided so far.
    """

    def __init__(
        self,
        optimizers: OptimizerSet,
        schedules: GroupSchedules,
        hyperparameters: Hyperparameters,
        counts: Counts,
    ) -> None:
        self.decisions = PlateauDecisions()
        self.each = [
            RateDriver(part, schedules, hyperparameters, counts, self.decisions)
            for part in optimizers.parts()
        ]

    @property
    def schedules(self) -> GroupSchedules:
        """Which schedule each group follows."""
        return self.each[0].schedules

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What is scheduled beside the rates."""
        return self.each[0].hyperparameters

    @property
    def counts(self) -> Counts:
        """What has been counted beside updates."""
        return self.each[0].counts

    @property
    def last_epoch(self) -> float:
        """The step that the scheduler is at."""
        return self.each[0].last_epoch

    @last_epoch.setter
    def last_epoch(self, step: float) -> None:
        for driver in self.each:
            driver.last_epoch = step

    @property
    def at(self) -> float:
        """The step whose rates are in the groups."""
        return self.each[0].at

    @property
    def is_aside(self) -> bool:
        """Whether ``SequentialLR`` has put the scheduler aside, for another one."""
        return self.each[0].is_aside

    def rates_at(self, step: float) -> list[float]:
        """Each group's rate at a step."""
        return [rate for driver in self.each for rate in driver.rates_at(step).rates]

    def move_to(self, step: float, stepped: bool = False) -> None:
        """Write every group's rate and hyperparameters of a step; nothing if that fails."""
        self._check(step)
        for driver in self.each:
            driver.move_to(step, stepped)

    def go_on_to(self, step: float, amounts: Mapping[str, object] | None = None) -> None:
        """``move_to``, after an update.

        Args:
            step: The step.
            amounts: What the update adds to the counts.
        """
        before = self.counts.so_far
        if amounts:
            self.count(amounts)
        try:
            self._check(step)
            for driver in self.each:
                driver.go_on_to(step)
        except Exception:
            self.counts.so_far = before
            raise

    def count(self, amounts: Mapping[str, object]) -> None:
        """Add to the counts; the rates are written at the next step."""
        self._refresh()
        self.counts.so_far = self.counts.plus(amounts)

    def set_counts(self, counts: Mapping[str, object]) -> None:
        """Set counts to what they are, from the next step on."""
        self._refresh()
        self.counts.check(counts)
        self.counts.set(counts)

    def _refresh(self) -> None:
        for driver in self.each:
            driver.refresh()

    def _check(self, step: float) -> None:
        """Raise what writing would, before the first of several optimizers is written to."""
        for driver in self.each[1:]:
            driver.check(step)

    def catch_up(self) -> None:
        """Take over what others have done, and write the rates of groups that were added."""
        for driver in self.each:
            driver.catch_up()

    def frozen_now(self) -> list[list[dict[str, Any]]]:
        """The groups of each optimizer whose multiplier is 0 now."""
        return [driver.frozen_now() for driver in self.each]

    def given(self) -> list[Value | None]:
        """All schedules and multipliers, as they were given."""
        return [value for driver in self.each for value in driver.given()]

    def bases(self) -> list[dict[str, list[float]]]:
        """What the values of each group that move are multiples of, with the values."""
        return [base for d in self.each for base in bases_of(d.optimizer.param_groups)]

    def decide(self, states: Mapping[plateau, PlateauState]) -> None:
        """Take in what metrics have decided, and write the rates; nothing changes if that fails."""
        with self._unchanged_on_error():
            self.decisions.states |= states
            for driver in self.each:
                driver.decide()
            if not self.is_aside:
                self.move_to(self.at)

    def restore(
        self,
        at: tuple[float, Counts],
        schedules: GroupSchedules,
        hyperparameters: Hyperparameters,
        *,
        states: Mapping[plateau, PlateauState],
        bases: Sequence[Mapping[str, Sequence[float]]],
        aside: bool,
    ) -> None:
        """Go to the step of a saved state, under its schedules; nothing changes if that fails.

        Args:
            at: The step, and what had been counted beside updates.
            schedules: The schedules.
            hyperparameters: The schedules of hyperparameters.
            states: What metrics had decided.
            bases: What ``bases()`` gave when the state was saved.
            aside: Whether ``SequentialLR`` had put the scheduler aside, so that it writes nothing.
        """
        step, counts = at
        with self._unchanged_on_error():
            self.decisions.states |= states
            first = 0
            for driver in self.each:
                last = first + len(driver.optimizer.param_groups)
                driver.follow(counts, schedules, hyperparameters, bases[first:last])
                first = last
            if not aside:
                self.move_to(step)
                return
            for driver in self.each:
                driver.put_aside(step)

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        """If the block raises, all drivers, groups and decisions are as they were before it."""
        before = dict(self.decisions.states)
        with ExitStack() as stack:
            for driver in self.each:
                stack.enter_context(driver.unchanged_on_error())
            try:
                yield
            except Exception:
                self.decisions.states = before
                raise

    def attach(self) -> None:
        """Hook into the optimizers, and bring them the functions that pickled ones have lost."""
        for driver in self.each:
            driver.attach()
