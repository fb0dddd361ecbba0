"""Tap: in place of a model's train function during ``fit``, it hands on what each step gave.

``fit`` calls ``model.train_function`` once a batch. Asking there costs nothing that waits for a
device: what a step gave stays where it is, and is fetched many steps at a time. A callback can't
do the same: Keras on JAX turns the logs into numbers for it, and syncs the whole model when it
touches it.
"""

import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from layerwise.keras._callbacks.batch_rows import rows_of
from layerwise.keras._callbacks.batch_values import BatchValues, split_logs
from layerwise.keras._callbacks.step_rate import StepRate, overriding_rate, set_rate
from layerwise.keras._callbacks.update_ratios import UpdateRatios
from layerwise.keras._internals.optimizer import batch_count, inner_optimizer, rate_variable
from layerwise.keras._internals.train_function import TrainFunctionProxy, untraced_train_step
from layerwise.keras._internals.trainer import check_trainer
from layerwise.keras._internals.values import number_in
from layerwise.keras._optimizer.rate_groups import groups_of

MOST = 64
"""Steps that wait at most before their values are fetched."""


@dataclass
class Step:
    """One call of the train function, its values still on the device.

    Attributes:
        values: The own values: one vector, or what the model's own train step returned.
        batches: The optimizer's count of batches after it: an integer, still on the device or not.
        rate: The base rate used, in the same manner; None if a schedule gives it.
        epoch: The epoch.
        time: When it was handed to the device, in Unix seconds.
        ratios: A vector of update-to-weight ratios, or None.
    """

    values: Any
    batches: Any
    rate: Any
    epoch: int
    time: float
    ratios: Any = None


class BatchStream:
    """A model's train function that listeners hear; see ``tap``.

    Args:
        model: A compiled model whose train function has been made.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._plain = weakref.ref(model.train_function)
        self.own = BatchValues(model)
        self.listeners: list[Any] = []
        self.armed = False
        self.epoch = 0
        self.warned = False
        self._functions: dict[object, Any] = {}
        self._untraced: list[Any] = []

    def fits(self, model: Any) -> bool:
        """Whether it was made for this model, as it is compiled now."""
        return self.model is model and self._plain() is model.train_function

    def start(self, fit: object) -> None:
        """Begin with a training: a call of ``fit``, known by its callbacks' parameters."""
        self.fit = fit
        self.groups = groups_of(self.model)
        self.schedule: StepRate | None = None
        self.chooser: Callable[[int, float | None], Any] | None = None
        self.waiting: list[Step] = []
        self.fetched = 0
        self.since = time.monotonic()
        self._state: Any = None
        self._rate: float | None = None
        self.batches: int | None = None
        plain = self.model.train_function
        try:
            self._make_functions()
        finally:
            self.model.train_function = TrainFunctionProxy(plain, self)
        self.per_update = inner_optimizer(self.model.optimizer).gradient_accumulation_steps or 1

    def call(self, *arguments: Any) -> Any:
        """One step, as ``fit`` asks for it."""
        if not self.armed:
            # Not within a fit that is listened to: one was broken off, and this is another.
            self.leave()
            return self.model.train_function(*arguments)
        self.armed = False
        self._look(arguments)
        assert self.batches is not None
        step = self.batches // self.per_update
        arguments = self._with_rate(arguments, step)
        after = (self.batches + self.model.steps_per_execution) // self.per_update
        watched = after > step and any(listener.wants_ratios(step) for listener in self.listeners)
        before = self.ratios.before(arguments) if watched else None
        function = self._function()
        with self.own.collected(), self._rate_in_place():
            result = function(*arguments)
        logs, state = result if _on_jax() else (result, None)
        own, logs = split_logs(logs)
        self.batches += self.model.steps_per_execution
        self.waiting.append(self._heard(own, logs, state))
        if before is not None:
            self.waiting[-1].ratios = self.ratios.after(before, state)
        self._state = state
        return (logs, state) if _on_jax() else logs

    def _look(self, arguments: tuple[Any, ...]) -> None:
        """Read rate and count when they may have been set: on JAX, when the state is a new one."""
        optimizer = self.model.optimizer
        held, count = rate_variable(optimizer), batch_count(optimizer)
        if _on_jax():
            if arguments[0] is self._state and self.batches is not None:
                return
            self._rate = None if held is None else float(self._in_state(arguments[0], held))
            self.batches = int(self._in_state(arguments[0], count))
        elif self.batches is None:
            self._rate = None if held is None else float(number_in(held))
            self.batches = int(number_in(count))
        else:
            return
        if not self.waiting:
            self.fetched = self.batches

    def new_epoch(self, epoch: int) -> None:
        """Count from what the optimizer has counted, again."""
        self.epoch, self.batches = epoch, None

    def _in_state(self, state: Any, variable: Any) -> Any:
        return state[2][self._place(variable)]

    def _place(self, variable: Any) -> int:
        return [id(v) for v in self.model.optimizer.variables].index(id(variable))

    def _with_rate(self, arguments: tuple[Any, ...], step: int) -> tuple[Any, ...]:
        """The rate that a listener chooses for this step, if one does."""
        if self.chooser is None or self.schedule is not None:
            return arguments
        chosen = self.chooser(step, self._rate)
        if isinstance(chosen, StepRate):
            self.schedule = chosen
            return arguments
        self._rate = float(np.float32(chosen))
        return set_rate(self.model, arguments, chosen)

    def _rate_in_place(self) -> AbstractContextManager[None]:
        if self.schedule is None:
            return nullcontext()
        return overriding_rate(self.model.optimizer, self.schedule)

    def _function(self) -> Any:
        """The train function with own values and, if the rate is a function of the step, that."""
        if self.schedule not in self._functions:
            self._functions[self.schedule] = self._untraced.pop()
        return self._functions[self.schedule]

    def _make_functions(self) -> None:
        """Have train functions ready: Keras on JAX can't make any while it holds the weights."""
        while len(self._untraced) < 2:  # one for numbers, one for a function of the step
            self.model.train_function = None
            with untraced_train_step(self.model):
                self.model.make_train_function()
            self._untraced.append(self.model.train_function)

    @cached_property
    def ratios(self) -> UpdateRatios:
        """How far updates move the model's layers."""
        return UpdateRatios(self.model)

    def _heard(self, own: Any, logs: Any, state: Any) -> Step:
        values = logs if own is None else own["values"]
        rate, batches = self._rate if self.schedule is None else None, self.batches
        if own is not None and "batches" in own:
            rate, batches = own.get("rate"), own["batches"]
        elif _on_jax() and self.counts_less:
            batches = keras.ops.copy(self._in_state(state, batch_count(self.model.optimizer)))
        return Step(values, batches, rate, self.epoch, time.time())

    @property
    def counts_less(self) -> bool:
        """Whether the optimizer may count less than one for each batch."""
        scaled = inner_optimizer(self.model.optimizer) is not self.model.optimizer
        return scaled or self.model.steps_per_execution > 1

    def fetch(self, wait: float = 0.0) -> None:
        """Hand the rows of all waiting steps to the listeners, if enough of them wait, or long."""
        now = time.monotonic()
        if self.waiting and (len(self.waiting) >= MOST or now - self.since >= wait):
            steps, self.waiting, self.since = self.waiting, [], now
            rows = rows_of(self, steps)
            if self.batches is not None:
                self.batches = self.fetched  # which updates were skipped is known now
            for listener in tuple(self.listeners):
                listener.receive(rows)

    def leave(self) -> None:
        """Give the model its own train function back."""
        if stream_of(self.model.train_function) is self:
            self.model.train_function = self.model.train_function.plain
        self._state, self.waiting, self.listeners = None, [], []


def _on_jax() -> bool:
    return bool(keras.backend.backend() == "jax")


def stream_of(train_function: Any) -> BatchStream | None:
    """The tap that stands in a train function's place, if one does."""
    return train_function.instead if isinstance(train_function, TrainFunctionProxy) else None


def open_stream(model: Any, kept: BatchStream | None, listener: Any) -> BatchStream:
    """The tap of a model with one more listener, in place of its train function.

    Args:
        model: A model that ``fit`` is about to train.
        kept: A tap of a former training: used again if it fits, so that nothing compiles anew.
        listener: Has ``hear(rows)``, and ``watches(step)``, whether it wants a step's ratios.

    Raises:
        RecorderError: The model is not one that can be listened to.
    """
    check_trainer(model)
    found = stream_of(model.train_function)
    if found is not None and found.fit is not listener.params:
        found.leave()  # of a fit that was broken off
        found = None
    if found is None:
        found = kept if kept is not None and kept.fits(model) else BatchStream(model)
        found.start(listener.params)
    found.listeners.append(listener)
    return found
