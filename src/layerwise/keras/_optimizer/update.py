"""One multiplied update: each variable under a rate of its own.

``MultipliedUpdate`` goes in front of an optimizer class and wraps the few methods through
which Keras updates weights (``_internals/optimizer.py`` names them), so that its mathematics
runs unchanged and only sees another learning rate:

- ``update_step`` sees one variable at a time (JAX, TensorFlow, and every optimizer without a
  fused Torch variant): it gets the variable's own rate;
- ``_parallel_update_step`` of the fused Torch variants sees all variables at once: it is called
  once for each distinct rate, and state that the variables share (Nadam's product of momenta)
  is put back in between, so that it advances once a step;
- ``_apply_weight_decay`` reads ``self.learning_rate``: it is called once for each distinct rate,
  which ``_get_current_learning_rate`` answers meanwhile;
- ``apply`` leaves out what is frozen, and holds what is frozen at this step only;
- the moving average of a frozen weight is held, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from layerwise.errors import OptimizerError
from layerwise.keras._internals.optimizer import decays_weights
from layerwise.keras._internals.values import copy_of, value_of
from layerwise.keras._optimizer.factors import Factors
from layerwise.keras._optimizer.frozen_state import (
    FrozenState,
    mask_gradient,
    put_back,
)
from layerwise.keras._schedule import LearningRateSchedule


@dataclass(frozen=True)
class States:
    """An optimizer's own state: of each variable, and of all variables together."""

    of_variable: list[list[Any]]
    shared: list[Any]


class MultipliedUpdate(keras.optimizers.Optimizer):
    """An optimizer whose variables are each updated under a rate of their own.

    ``self._factors`` (a ``layerwise.keras._optimizer.factors.Factors``, set when the variables are
    known) says by what each variable's learning rate is multiplied at a step.
    """

    _factors: Factors
    _states: States

    # -- one update ---------------------------------------------------------------------------

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        if trainable_variables is None:
            if not self.built or len(grads) != len(self._trainable_variables):
                super().apply(grads)  # raises: Keras' own error is clear
                return
            variables = list(self._trainable_variables)
        else:
            variables = list(trainable_variables)
            if not self.built:
                with keras.name_scope(self.name, caller=self):
                    self.build(variables)
            self._check_variables_are_known(variables)
        with self._factors.at(self.iterations):
            self._apply_unfrozen(list(grads), variables)

    def _apply_unfrozen(self, grads: list[Any], variables: list[Any]) -> None:
        if self._factors.all_active:
            super().apply(grads, variables)
            return
        index = [self._get_variable_index(v) for v in variables]
        active = [self._factors.active(i) for i in index]
        held = self._state_to_hold(variables, index, active)
        pairs = [
            (mask_gradient(a, g), v)
            for g, v, a in zip(grads, variables, active, strict=True)
            if a is not False
        ]
        if pairs:
            super().apply([g for g, _ in pairs], [v for _, v in pairs])
        elif grads:
            if self.use_ema:
                self._update_model_variables_moving_average(self._trainable_variables)
            self._iterations.assign_add(1)
        put_back(self, held)

    def _state_to_hold(
        self, variables: list[Any], index: list[int], active: list[Any]
    ) -> list[FrozenState]:
        """(state, its value before this step, whether it may change) of what may be frozen."""
        averaged = self.use_ema and self.ema_overwrite_frequency
        held = []
        for variable, i, a in zip(variables, index, active, strict=True):
            if a is True or (a is False and not averaged):
                continue
            states = [variable] if a is False else [variable, *self._states.of_variable[i]]
            held += [(state, copy_of(state), a) for state in states]
            self._factors.before[i] = held[-len(states)][1]
        return held

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> Any:
        factor = self._factors.factor(self._get_variable_index(variable))
        with self._factors.rate_times(factor):  # for those that read self.learning_rate
            return super().update_step(gradient, variable, _scaled(learning_rate, factor))

    def _parallel_update_step(
        self, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any
    ) -> None:
        shared = [(state, copy_of(state)) for state in self._states.shared]
        for n, (factor, members) in enumerate(self._by_factor(variables)):
            if n:
                for state, value in shared:
                    state.assign(value)
            with self._factors.rate_times(factor):
                super()._parallel_update_step(
                    [grads[m] for m in members],
                    [variables[m] for m in members],
                    _scaled(learning_rate, factor),
                )

    def _backend_update_step(
        self, grads: Sequence[Any], trainable_variables: Sequence[Any], learning_rate: Any
    ) -> None:
        self._factors.asked = 0
        super()._backend_update_step(grads, trainable_variables, learning_rate)
        if self._factors.asked < len(grads):
            raise OptimizerError(
                f"{self.name} updated {len(grads) - self._factors.asked} variables without asking "
                "for their rates: its _backend_update_step() does not call update_step(). "
                "Call it there for each variable."
            )

    def _by_factor(self, variables: Sequence[Any]) -> list[tuple[Any, list[int]]]:
        """The distinct factors, each with the places of its variables in the sequence."""
        groups: dict[object, tuple[Any, list[int]]] = {}
        for place, variable in enumerate(variables):
            index = self._get_variable_index(variable)
            factor = self._factors.factor(index)
            groups.setdefault(self._factors.key(index), (factor, []))[1].append(place)
        return list(groups.values())

    # -- weight decay -------------------------------------------------------------------------

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        if not decays_weights(self):
            return
        # Keras' Torch code takes no empty list, so a group that decays nothing is left out.
        decayed = [v for v in variables if self._use_weight_decay(v)]
        for factor, members in self._by_factor(decayed):
            with self._factors.rate_times(factor):
                super()._apply_weight_decay([decayed[m] for m in members])

    def _get_current_learning_rate(self) -> Any:
        if isinstance(self._learning_rate, LearningRateSchedule):
            rate = self._learning_rate(self.iterations)  # applied updates, not batches
        else:
            rate = super()._get_current_learning_rate()
        return _scaled(rate, self._factors.rate_factor)

    # -- moving average of the weights --------------------------------------------------------

    def _update_model_variables_moving_average(self, trainable_variables: Sequence[Any]) -> None:
        held = [
            (average, copy_of(average), self._factors.before.get(i, value_of(variable)), active)
            for i, (variable, average) in enumerate(
                zip(trainable_variables, self._model_variables_moving_average, strict=True)
            )
            if average is not None and (active := self._factors.active(i)) is not True
        ]
        super()._update_model_variables_moving_average(trainable_variables)
        first = ops.equal(self.iterations, 0)
        for average, before, weight, active in held:
            frozen = ops.where(first, weight, before)
            new = frozen if active is False else ops.where(active, value_of(average), frozen)
            average.assign(new)

    def _overwrite_model_variables_with_average_value(
        self, trainable_variables: Sequence[Any]
    ) -> None:
        kept = [
            (v, copy_of(v))
            for v in trainable_variables
            if self._factors.frozen_now(self._get_variable_index(v), self.iterations)
        ]
        super()._overwrite_model_variables_with_average_value(trainable_variables)
        for variable, value in kept:
            variable.assign(value)

    # -- whose state is whose -----------------------------------------------------------------

    def _find_states(self) -> None:
        """Learn which state belongs to which variable, and which to all (once, when built)."""
        variables = self._trainable_variables
        columns = [
            value
            for name, value in vars(self).items()
            if name not in ("_trainable_variables", "_variables")
            and isinstance(value, list)
            and len(value) == len(variables)
        ]
        clock = {id(self._iterations), id(self._learning_rate)}
        averages = {id(v) for v in getattr(self, "_model_variables_moving_average", ())}
        listed = {id(item) for column in columns for item in column}
        slots = {id(v) for v in self._variables} - clock - averages  # averages are held apart
        self._states = States(
            of_variable=[
                [c[i] for c in columns if id(c[i]) in slots] for i in range(len(variables))
            ],
            shared=[v for v in self._variables if id(v) not in clock | listed],
        )


def _scaled(learning_rate: Any, factor: Any) -> Any:
    return learning_rate if factor is None else learning_rate * factor
