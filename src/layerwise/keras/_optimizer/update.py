"""One multiplied update: each variable under its own rate.

``MultipliedUpdate`` stands in front of an optimizer class and wraps the methods through which
Keras updates weights, so that the optimizer's mathematics is unchanged and only sees another
learning rate:

- ``update_step`` gets one variable at a time (JAX, TensorFlow, and every optimizer without a fused
  variant for PyTorch) and is called with that variable's rate;
- ``update_together`` of the fused variants gets all variables at once. Keras' own is called once,
  with a rate for each of them; one of the user's once for each distinct rate, and state that the
  variables share is restored in between, so that it advances once a step;
- ``decay`` reads ``self.learning_rate`` and ``self.weight_decay``, which ``rate_now`` and
  ``decay_now`` return meanwhile. It is called once for each distinct pair of these, or for each
  distinct decay where it takes a rate for each variable;
- ``apply`` leaves out the variables that are frozen for good, and restores those that are frozen
  at this step only;
- the moving average of a frozen weight stays as it is, too.

Outside of ``apply`` nobody knows the step's factors, so the parts of an update raise there.
"""

from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import keras
from keras import Variable, ops

from layerwise.errors import OptimizerError
from layerwise.keras._internals.optimizer import (
    OptimizerHooks,
    Slots,
    averages_of,
    base_rate_of,
    batch_count,
    batches_per_update,
    check_known,
    place_of,
    trained_variables,
    weight_decay_of,
)
from layerwise.keras._internals.tensorflow import (
    assign_on_replicas,
    is_slices,
    mask_slices,
    only_if,
)
from layerwise.keras._internals.trainer import arrays_given_back, check_trained
from layerwise.keras._internals.values import Tensor, copy_of, mask_stored, value_of
from layerwise.keras._moving.calls import Call, calls
from layerwise.keras._moving.counts import Counts
from layerwise.keras._moving.factors import Factors
from layerwise.keras._moving.hyperparameters import Hyperparameters
from layerwise.keras._schedule import LearningRateSchedule

FrozenState: TypeAlias = tuple[Variable, Tensor, Tensor | bool]
"""A state, its value before the step, and whether it may change: False, or a boolean tensor."""


class MultipliedUpdate(OptimizerHooks):
    """An optimizer whose variables are each updated under their own rate.

    Attributes:
        _factors: The factor on each variable's rate; set when the variables are known.
        _slots: Whose state is whose; set at the same time.
        _hyperparameters: What moves beside the rates.
        _counts: What is counted beside updates.
    """

    _factors: Factors
    _slots: Slots
    _hyperparameters: Hyperparameters
    _counts: Counts

    def use_factors(self, factors: Factors) -> None:
        """Multiply the rates of a built optimizer with these from now on.

        Raises:
            OptimizerError: A variable freezes for some steps, and it is not known whose state is
                whose.
        """
        slots = self.slots()
        if slots.unknown and factors.freezes_for_some_steps:
            self.built = False  # or a second try would train
            raise OptimizerError(
                f"{self.name} keeps {slots.unknown[0]!r}, and it can't be told which "
                "variable's state that is, which must be known to freeze a variable for some "
                "steps. In build(), make a variable's state with "
                "self.add_variable_from_reference(variable, name=...), and keep what all "
                "variables share in an attribute."
            )
        self._factors, self._slots = factors, slots

    # -- one update ---------------------------------------------------------------------------

    def apply(
        self, grads: Sequence[Tensor | None], trainable_variables: Sequence[Variable] | None = None
    ) -> None:
        if trainable_variables is None:
            variables = trained_variables(self)
            if not self.built or len(grads) != len(variables):
                super().apply(grads)  # raises: Keras' error is clear
                return
        else:
            variables = list(trainable_variables)
            if not self.built:
                with keras.name_scope(self.name, caller=self):
                    self.build(variables)
            _check_lengths(grads, variables)
            check_known(self, variables)
        counts = self._counts.read_once()
        with (
            arrays_given_back(),
            self._factors.at(self.iterations, counts),
            self._hyperparameters.at(self, self.iterations, counts),
        ):
            if trainable_variables is None:
                check_trained(self)
            self._counts.check_fed()
            self._apply_unfrozen(list(grads), variables)
        self._counts.advance(batch_count(self), batches_per_update(self))
        if not self._factors.in_step:  # else other replicas are about to ask
            self._counts.used()

    def _apply_unfrozen(self, grads: list[Tensor | None], variables: list[Variable]) -> None:
        if self._factors.all_active:
            super().apply(grads, variables)
            return
        places = [place_of(self, v) for v in variables]
        active = [self._factors.active(place) for place in places]
        self._factors.whole_updates = self._conditional(grads, variables, places)
        kept = self._state_to_restore(variables, places, active)
        pairs = [
            (_mask_gradient(a, g), v)
            for g, v, a in zip(grads, variables, active, strict=True)
            if a is not False
        ]
        if pairs:
            super().apply([g for g, _ in pairs], [v for _, v in pairs])
        elif grads:
            if self.use_ema:
                self.update_averages(trained_variables(self))
            batch_count(self).assign_add(1)
        self._restore(kept)

    def _check_in_apply(self, method: str) -> None:
        if not self._factors.in_step:
            raise OptimizerError(
                f"{method}() of the optimizer {self.name!r} was called by hand, and only apply() "
                "knows the rate of each variable at the step. Call optimizer.apply(gradients, "
                "variables): it updates each of them at its own rate, and counts the step."
            )

    def mask_frozen(
        self, grads: Sequence[Tensor | None], variables: Sequence[Variable]
    ) -> list[Tensor | None]:
        """The gradients of a step to come, without those of what is frozen at it.

        For what looks at the gradients before ``apply`` gets them.
        """
        _check_lengths(grads, variables)
        check_known(self, variables)
        with self._factors.at(self.iterations, self._counts.read_once()):
            active = [self._factors.active(place_of(self, variable)) for variable in variables]
        return [
            None if a is False else _mask_gradient(a, gradient)
            for a, gradient in zip(active, grads, strict=True)
        ]

    def _conditional(
        self, grads: list[Tensor | None], variables: list[Variable], places: list[int]
    ) -> dict[int, Tensor]:
        """The variables whose update is left out as a whole while they are frozen, and whether.

        TensorFlow hands an embedding's gradient on as rows. Leaving out such an update writes
        nothing, while restoring the table afterwards would write all of its rows, and those of its
        slots. It is enough only if nothing but this gradient changes the table.
        """
        if batches_per_update(self) > 1:
            return {}
        found: dict[int, Tensor] = {}
        for gradient, variable, place in zip(grads, variables, places, strict=True):
            active = self._factors.active(place)
            alone = variable.constraint is None and weight_decay_of(self, variable) is None
            if alone and is_slices(gradient) and not isinstance(active, bool):
                found[place] = active
        return found

    def _state_to_restore(
        self, variables: list[Variable], places: list[int], active: list[Tensor | bool]
    ) -> list[FrozenState]:
        """What may be frozen at this step, without the state of variables that never train."""
        averaged = self.use_ema and self.ema_overwrite_frequency
        kept: list[FrozenState] = []
        for variable, place, a in zip(variables, places, active, strict=True):
            if a is True or (a is False and not averaged) or place in self._factors.whole_updates:
                continue
            states = [variable] if a is False else [variable, *self._slots.of_variable[place]]
            kept += [(state, copy_of(state), a) for state in states]
            self._factors.before[place] = kept[-len(states)][1]
        return kept

    def _restore(self, kept: list[FrozenState]) -> None:
        """Give what was frozen at this step the value that it had before."""
        if keras.backend.backend() == "tensorflow":
            if kept:
                assign_on_replicas(
                    self,
                    [value_of(state) for state, _, _ in kept],
                    lambda state, before, active: ops.where(active, state, before),
                    [(before, active) for _, before, active in kept],
                )
            return
        for state, before, active in kept:
            state.assign(before if active is False else ops.where(active, value_of(state), before))

    def update_step(self, gradient: Tensor, variable: Variable, learning_rate: Tensor) -> object:
        self._check_in_apply("update_step")
        place = place_of(self, variable)
        factor = self._factors.factor(place)
        # For those that read self.learning_rate or self.weight_decay here.
        update = partial(super().update_step, gradient, variable, _times(learning_rate, factor))
        with self._factors.scaled(factor, self._factors.decay(place)):
            if place in self._factors.whole_updates:
                only_if(self._factors.whole_updates[place], update)
                return None
            return update()

    def update_together(
        self, gradients: Sequence[Tensor], variables: Sequence[Variable], rate: Tensor
    ) -> None:
        self._check_in_apply("_parallel_update_step")
        shared = [(state, copy_of(state)) for state in self._slots.shared]
        for n, call in enumerate(self._calls("_parallel_update_step", variables, decaying=False)):
            if n:
                for state, value in shared:
                    state.assign(value)
            with self._factors.scaled(call.rate), call.allowed():
                super().update_together(
                    [gradients[m] for m in call.members],
                    [variables[m] for m in call.members],
                    _times(rate, call.rate),
                )

    def update_all(
        self, gradients: Sequence[Tensor], variables: Sequence[Variable], rate: Tensor
    ) -> None:
        self._check_in_apply("_backend_update_step")
        self._factors.asked = 0
        super().update_all(gradients, variables, rate)
        if self._factors.asked < len(gradients):
            raise OptimizerError(
                f"{self.name} updated {len(gradients) - self._factors.asked} variables without "
                "asking for their rates: its _backend_update_step() does not call update_step(). "
                "Call it there for each variable."
            )

    def decay(self, variables: Sequence[Variable]) -> None:
        self._check_in_apply("_apply_weight_decay")
        for call in self._calls("_apply_weight_decay", variables, decaying=True):
            if isinstance(call.decay, float) and call.decay == 0.0:
                continue
            with self._factors.scaled(call.rate, call.decay), call.allowed():
                super().decay([variables[m] for m in call.members])

    def _calls(self, name: str, variables: Sequence[Variable], *, decaying: bool) -> list[Call]:
        places = [place_of(self, variable) for variable in variables]
        return calls(self.method_of_keras(name), self._factors, places, decaying=decaying)

    def rate_now(self) -> Tensor:
        rate = base_rate_of(self)
        if isinstance(rate, LearningRateSchedule):
            now = rate(self.iterations)  # applied updates, not batches
        else:
            now = super().rate_now()
        return _times(now, self._factors.rate_factor)

    def decay_now(self, decay: Tensor | float | None) -> Tensor | float | None:
        """A weight decay of the optimizer, times the factor of the variables that decay now."""
        factor = self._factors.decay_factor
        return decay if decay is None or factor is None else decay * factor

    # -- moving average of the weights --------------------------------------------------------

    def update_averages(self, variables: Sequence[Variable]) -> None:
        self._check_in_apply("_update_model_variables_moving_average")
        kept = [
            (average, copy_of(average), self._factors.before.get(i, value_of(variable)), active)
            for i, (variable, average) in enumerate(zip(variables, averages_of(self), strict=True))
            if average is not None and (active := self._factors.active(i)) is not True
        ]
        super().update_averages(variables)
        first = ops.equal(self.iterations, 0)
        for average, before, weight, active in kept:
            frozen = ops.where(first, weight, before)
            new = frozen if active is False else ops.where(active, value_of(average), frozen)
            average.assign(new)

    def take_averages(self, variables: Sequence[Variable]) -> None:
        check_known(self, variables)
        counts = self._counts.read_once()
        kept = [
            (v, copy_of(v))
            for v in variables
            if self._factors.frozen_now(place_of(self, v), self.iterations, counts)
        ]
        super().take_averages(variables)
        for variable, value in kept:
            variable.assign(value)


def _check_lengths(grads: Sequence[object], variables: Sequence[object]) -> None:
    if len(grads) != len(variables):
        raise OptimizerError(
            f"There are {len(grads)} gradients for {len(variables)} variables; pass one for each, "
            "and None for a variable without a gradient."
        )


def _times(rate: Tensor, factor: Tensor | float | None) -> Tensor:
    return rate if factor is None else rate * factor


def _mask_gradient(active: Tensor | bool, gradient: Tensor | None) -> Tensor | None:
    """The gradient, or zeros where the variable is frozen at this step."""
    if active is True or gradient is None:
        return gradient
    if is_slices(gradient):
        return mask_slices(active, gradient)
    if hasattr(gradient, "todense"):  # JAX's BCOO
        return mask_stored(active, gradient)
    masked: Tensor = ops.where(active, gradient, ops.zeros_like(gradient))
    return masked
