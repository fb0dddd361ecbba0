"""The factor on each variable's learning rate at one step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
from keras import ops

from layerwise._unfolded import unfolded
from layerwise.keras._internals.values import Step, Tensor
from layerwise.keras._optimizer.step_values import (
    CountsNow,
    evaluate,
    evaluate_all,
    evaluate_on_host,
)
from layerwise.multipliers import Value, may_be_0
from layerwise.schedules import Schedule


class Factors:
    """The factors of an optimizer's variables while one step is built or run.

    Each different multiplier is evaluated once a step.

    Args:
        values: The multiplier of each variable, in the optimizer's order.
        schedule: A factor for all of them, or None.
        decays: The multiplier of each variable's weight decay; none if all are 1.

    Attributes:
        rate_factor: The factor on the optimizer's base rate while ``scaled`` runs.
        decay_factor: The factor on its weight decay, likewise.
        asked: How many factors were asked for.
        before: The values that variables had before this step, by place, where kept.
        whole_updates: Whether to update at all, by place, where a branch of a graph decides it.
    """

    def __init__(
        self,
        values: Sequence[Value] = (),
        schedule: Value | None = None,
        decays: Sequence[Value] = (),
    ) -> None:
        self.schedule = schedule
        self.values, self._group = _grouped(values)
        self.decays, self._decay_group = _grouped(decays)
        self._may_freeze = [may_be_0(value) for value in self.values]
        self.rate_factor: Tensor | float | None = None
        self.decay_factor: Tensor | float | None = None
        self.asked = 0
        self.before: dict[int, Tensor] = {}
        self.whole_updates: dict[int, Tensor] = {}
        self._depth = 0
        self._active: list[Tensor | bool] = []
        self._factor: list[Tensor | float | None] = []
        self._decay: list[Tensor | float | None] = []

    @property
    def freezes_for_some_steps(self) -> bool:
        """Whether a variable may be frozen at some steps and train at others."""
        pairs = zip(self.values, self._may_freeze, strict=True)
        return any(may and not isinstance(value, float) for value, may in pairs)

    @contextmanager
    def at(self, step: Step, counts: CountsNow | None = None) -> Iterator[None]:
        """While the block runs, the factors are those of this step, and of these counts."""
        common = None if self.schedule is None else evaluate(self.schedule, step, counts)
        multipliers = evaluate_all(self.values, step, counts)
        self._active = [
            True if not may else m != 0.0 if isinstance(m, float) else ops.not_equal(m, 0)
            for m, may in zip(multipliers, self._may_freeze, strict=True)
        ]
        factors = [m if common is None else common * m for m in multipliers]
        self._factor = _kept_apart(
            [None if isinstance(f, float) and f == 1.0 else f for f in factors], step
        )
        decays = evaluate_all(self.decays, step, counts)
        self._decay = _kept_apart([None if isinstance(d, float) else d for d in decays], step)
        for i, decay in enumerate(decays):
            if isinstance(decay, float) and decay != 1.0:
                self._decay[i] = decay
        # All replicas of a tf.distribute strategy are in here at once; the last one clears up.
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._active, self._factor, self._decay = [], [], []
                self.before, self.whole_updates = {}, {}

    @property
    def in_step(self) -> bool:
        """Whether a step is being built or run, so that its factors are there."""
        return self._depth > 0

    @property
    def all_active(self) -> bool:
        """Whether every variable is known to train at this step."""
        return all(active is True for active in self._active)

    def frozen_now(self, place: int, step: Step, counts: CountsNow) -> bool:
        """Whether a variable is known to be frozen at a step that is not traced."""
        value = self.values[self._group[place]]
        if isinstance(value, float) or self._depth:  # inside a step, the others are restored
            return value == 0.0
        now = int(ops.convert_to_numpy(step))
        return not evaluate_on_host(value, now, counts.on_host()) > 0

    def active(self, place: int) -> Tensor | bool:
        """True: the variable trains; False: it is frozen; a boolean tensor: the step decides."""
        return self._active[self._group[place]]

    def factor(self, place: int) -> Tensor | float | None:
        """The factor on the variable's learning rate; None for 1."""
        self.asked += 1
        return self._factor[self._group[place]]

    def key(self, place: int) -> object:
        """Equal for variables whose factors are known to be equal."""
        factor = self._factor[self._group[place]]
        return factor if factor is None or isinstance(factor, float) else self._group[place]

    def decay(self, place: int) -> Tensor | float | None:
        """The factor on the variable's weight decay; None for 1."""
        return self._decay[self._decay_group[place]] if self._decay_group else None

    def decay_key(self, place: int) -> object:
        """Equal for variables whose weight decays are known to have equal factors."""
        return self._decay_group[place] if self._decay_group else None

    @contextmanager
    def scaled(
        self, rate: Tensor | float | None, decay: Tensor | float | None = None
    ) -> Iterator[None]:
        """While the block runs, the optimizer's rate and weight decay are times these factors."""
        # Each replica's thread sets them, so nothing is multiplied twice.
        self.rate_factor, self.decay_factor = rate, decay
        try:
            yield
        finally:
            self.rate_factor = self.decay_factor = None


def _grouped(values: Sequence[Value]) -> tuple[list[Value], list[int]]:
    """The different values, and the place of each one's among them."""
    different: list[Value] = []
    places: list[int] = []
    numbers: dict[object, int] = {}
    for value in values:
        key = value if isinstance(value, float | Schedule) else id(value)
        if key not in numbers:
            numbers[key] = len(different)
            different.append(value)
        places.append(numbers[key])
    return different, places


def _kept_apart(factors: list[Tensor | float | None], step: Step) -> list[Tensor | float | None]:
    """On JAX, factors that XLA neither folds into each variable's kernel nor computes there."""
    if keras.backend.backend() != "jax":
        return factors
    import jax

    step = ops.convert_to_tensor(step)
    moving = [f for f in factors if f is not None]
    if not moving or not isinstance(step, jax.core.Tracer):
        return factors
    known = [ops.convert_to_tensor(f, keras.backend.floatx()) for f in moving]
    apart = iter(unfolded(jax, lambda step, known: known, step, known))
    return [None if f is None else next(apart) for f in factors]
