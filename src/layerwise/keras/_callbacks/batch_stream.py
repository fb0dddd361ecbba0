"""BatchStream: takes the place of a model's train function, and keeps what each step gave.

``fit`` calls ``model.train_function`` once for each batch. Values kept there stay on the device
until many are fetched together, so no batch waits. A callback can't do that: Keras on JAX makes
Python numbers of the logs for it, and copies the whole state when it touches the model.
"""

import time
import weakref
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeAlias

import keras
import numpy as np

from layerwise.errors import OptimizerError
from layerwise.keras._callbacks.batch_rows import NamedValues, RowBuilder, Step
from layerwise.keras._callbacks.batch_values import BatchValues, split_logs
from layerwise.keras._callbacks.step_rate import StepRate
from layerwise.keras._callbacks.update_ratios import UpdateRatios
from layerwise.keras._internals.optimizer import overriding_rate
from layerwise.keras._internals.train_function import (
    TrainFunction,
    TrainFunctionProxy,
    untraced_train_function,
)
from layerwise.keras._internals.trainer import Changes, OptimizerState, State, check_trainer
from layerwise.recorder import BatchRow, PendingRows

RateRule = Callable[[int, float | None], float]
"""The base rate of the next batch, given its step and the rate before."""

Kind: TypeAlias = tuple[StepRate | None, frozenset[str]]
"""What a train function is compiled for: what gives its rate, and what is counted for it."""


class Listener(Protocol):
    """A callback that gets the rows of a stream; ``params`` are those that ``fit`` gave it."""

    params: Mapping[str, object]

    def receive(self, rows: list[BatchRow]) -> None:
        """Take the rows of some batches."""

    def wants_ratios(self, step: int) -> bool:
        """Whether to measure the update-to-weight ratios of this step."""


class BatchStream:
    """Runs the steps of a model in place of its train function; see ``open_stream``.

    Args:
        model: A compiled model whose train function has been made.

    Attributes:
        listeners: The callbacks that get the rows.
        fit: Tells one call of ``fit`` from another.
        step_rate: What gives the base rate inside the step, if a callback has set it.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._original = weakref.ref(model.train_function)
        self._values = BatchValues(model)
        self._ratios: UpdateRatios | None = None
        self._functions: dict[Kind, TrainFunction] = {}
        self._epoch = 0
        self._expected = False
        self._history: object = None
        self._aside = False
        self.listeners: list[Listener] = []

    def fits(self, model: keras.Model) -> bool:
        """Whether it was made for this model, and that has not been compiled again."""
        return self._model is model and self._original() is model.train_function

    def start(self, fit: object) -> None:
        """Begin with a training, known by the parameters that ``fit`` hands to its callbacks."""
        model = self._model
        self.fit, self.listeners, self._aside = fit, [], False
        self.step_rate: StepRate | None = None
        self._rate_rule: RateRule | None = None
        self._counted: frozenset[str] = frozenset()
        self._changes: Callable[[], Changes] | None = None
        self._counting: Callable[[], AbstractContextManager[None]] = nullcontext
        self._rows = RowBuilder(model)
        self._pending: PendingRows[Step] = PendingRows(self._rows.build, self._deliver)
        self._optimizer: OptimizerState | None = None
        self._state: State | None = None
        self._rate: float | None = None
        self._batches, self._outdated = 0, True
        self._began: int | None = None  # what the optimizer had counted when training began
        self._prepare_function()
        self._take_place()

    def set_rate_by(self, rule: StepRate | RateRule) -> None:
        """Let a callback set the base rate of this training.

        Raises:
            OptimizerError: Another callback sets it already.
        """
        if self._rate_rule is not None or self.step_rate is not None:
            self.leave()
            raise OptimizerError(
                "Two callbacks of this training set the base learning rate. Leave one out, or "
                "make one schedule of both: a * b."
            )
        if isinstance(rule, StepRate):
            self.step_rate = self._rows.step_rate = rule
            self._prepare_function()
        else:
            self._rate_rule = rule

    def change_after(
        self,
        names: Collection[str],
        changes: Callable[[], Changes],
        counting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Let a callback change what the optimizer has counted, after each batch.

        Args:
            names: What is counted.
            changes: Gives the changes that a batch makes.
            counting: Gives a context for each step, in which the optimizer knows of the counts.

        Raises:
            OptimizerError: Another callback does so already, or one call runs several batches.
        """
        problem = None
        if self._changes is not None:
            problem = "Two callbacks of this training count. Give one Counter all that is counted."
        elif self._model.steps_per_execution > 1:
            problem = (
                f"With steps_per_execution={self._model.steps_per_execution}, nobody is asked "
                "between two batches, so that what is in each can't be counted. Compile the model "
                "with steps_per_execution=1."
            )
        if problem is not None:
            self.leave()
            raise OptimizerError(problem)
        self._counted, self._changes, self._counting = frozenset(names), changes, counting
        self._prepare_function()

    def begin_epoch(self, epoch: int) -> None:
        """Note the epoch, and read the optimizer's count again."""
        self._epoch, self._outdated = epoch, True

    def begin_batch(self, wait: float) -> None:
        """Expect a step, and fetch what has waited long enough.

        Args:
            wait: How many seconds rows may wait on the device.
        """
        self._expected, self._history = True, _history_of(self._model)
        if self._aside:
            self.fetch()  # meanwhile the optimizer has counted other steps
            self._aside, self._outdated = False, True
            if self.fits(self._model):
                self._take_place()
        self.fetch(wait)

    def call(self, *arguments: Any) -> object:
        """Run one step for ``fit``.

        Args:
            arguments: What ``fit`` calls the train function with.

        Returns:
            What the train function would have returned.
        """
        if not self._expected or self._history is not _history_of(self._model):
            # A training without listeners after one that an exception ended, or one that a callback
            # began. If it is the latter, begin_batch() comes back.
            self._step_aside()
            return self._model.train_function(*arguments)
        self._expected = False
        self._read_optimizer(arguments)
        step = self._batches // self._rows.per_update
        arguments = self._with_rate(arguments, step)
        after = (self._batches + self._model.steps_per_execution) // self._rows.per_update
        ratios = self._ratios_of(step) if after > step else None
        before = None if ratios is None else ratios.before(arguments[0] if _on_jax() else None)
        with self._values.collected(), self._rate_inside(), self._counting():
            result = self._functions[self._kind](*arguments)
        logs, state = result if _on_jax() else (result, None)
        values, logs = split_logs(logs)
        if self._changes is not None and self._optimizer is not None:
            state = self._optimizer.change(state, self._changes())
        self._batches += self._model.steps_per_execution
        moved = None if ratios is None or before is None else ratios.after(before, state)
        self._pending.add(self._finished(values, logs, state, moved))
        self._state = state
        return (logs, state) if _on_jax() else logs

    def call_between(self, *arguments: Any) -> object:
        """Run the step of a ``train_on_batch()``, and go on with ``fit`` after it.

        Args:
            arguments: What ``train_on_batch`` calls the train function with.

        Returns:
            What the train function returns.
        """
        if not self._expected:
            self._step_aside()  # maybe ``fit`` is over; if not, begin_batch() comes back
            return self._model.train_function(*arguments)
        self.fetch()
        self._state, self._outdated = None, True
        return self._model.train_function.original(*arguments)

    def fetch(self, wait: float = 0.0) -> None:
        """Hand the rows of all steps to the listeners.

        Args:
            wait: How many seconds rows may wait still, if there are few of them.
        """
        self._pending.flush(wait)

    def leave(self) -> None:
        """Give the train function back to the model, and forget what was not fetched."""
        self._step_aside()
        self._pending.clear()
        self.listeners, self._aside = [], False

    def _take_place(self) -> None:
        self._model.train_function = TrainFunctionProxy(self._model.train_function, self)

    def _step_aside(self) -> None:
        """Give the train function back to the model, for now."""
        if stream_of(self._model.train_function) is self:
            self._model.train_function = self._model.train_function.original
        self._state, self._aside = None, True

    def _deliver(self, rows: list[BatchRow]) -> None:
        if not self._outdated:
            self._batches = self._rows.counted  # only now it is known which updates were skipped
        for listener in tuple(self.listeners):
            listener.receive(rows)

    def _prepare_function(self) -> None:
        """Make the train function ahead: on JAX it can't be made while a step has the weights."""
        if self._kind not in self._functions:
            self._functions[self._kind] = untraced_train_function(self._model)

    @property
    def _kind(self) -> Kind:
        return self.step_rate, self._counted

    def _read_optimizer(self, arguments: tuple[Any, ...]) -> None:
        """Read rate and count where they may have been set, which on JAX makes a new state."""
        if self._optimizer is None:
            self._optimizer = OptimizerState(self._model.optimizer)
        state = arguments[0] if _on_jax() else None
        if self._outdated or (state is not None and state is not self._state):
            several = self._rows.several
            self._rate = self._optimizer.rate(state)
            counted = self._optimizer.batches(state) if several is None else several.batches()
            self._batches = self._counted_or_seen(counted)
            self._outdated = False
            if not len(self._pending):
                self._rows.counted = self._batches

    def _counted_or_seen(self, counted: int) -> int:
        """The optimizer's count, or that of the batches here if it never counts.

        A ``train_step()`` of the user's may train with something else.
        """
        if self._began is None:
            self._began = counted
        seen = self._batches > self._began
        if seen and counted == self._began and not self._rows.scales_loss:
            return self._batches
        return counted

    def _with_rate(self, arguments: tuple[Any, ...], step: int) -> tuple[Any, ...]:
        if self._rate_rule is None or self._optimizer is None:
            return arguments
        rate = self._rate_rule(step, self._rate)
        self._rate = float(np.float32(rate))
        return self._optimizer.set_rate(arguments, rate)

    def _rate_inside(self) -> AbstractContextManager[None]:
        if self.step_rate is None:
            return nullcontext()
        return overriding_rate(self._model.optimizer, self.step_rate)

    def _ratios_of(self, step: int) -> UpdateRatios | None:
        if not any(listener.wants_ratios(step) for listener in self.listeners):
            return None
        if self._ratios is None:
            self._ratios = UpdateRatios(self._model)
        return self._ratios

    def _finished(
        self,
        values: Mapping[str, object] | None,
        logs: Mapping[str, object],
        state: State | None,
        ratios: NamedValues | None,
    ) -> Step:
        given = logs if values is None else NamedValues(self._values.names, values["values"])
        rate: object = self._rate if self.step_rate is None else None
        batches: object = self._batches
        if values is not None and "batches" in values:
            rate, batches = values.get("rate"), values["batches"]
        elif state is not None and self._rows.may_skip and self._optimizer is not None:
            batches = self._optimizer.batches_on_device(state)
        several = self._rows.several
        readings = {} if several is None else several.read()
        return Step(given, batches, rate, self._epoch, time.time(), ratios, readings)


def _history_of(model: keras.Model) -> object:
    """What tells one call of ``fit`` from the next, even from outside of its callbacks."""
    return getattr(model, "history", None)


def _on_jax() -> bool:
    return bool(keras.backend.backend() == "jax")


def stream_of(train_function: object) -> BatchStream | None:
    """The stream in place of a train function, if there is one."""
    stream = train_function.runner if isinstance(train_function, TrainFunctionProxy) else None
    return stream if isinstance(stream, BatchStream) else None


def open_stream(model: keras.Model, kept: BatchStream | None, listener: Listener) -> BatchStream:
    """Put a stream in place of a model's train function, or join the one that is there.

    Args:
        model: A model that ``fit`` is about to train.
        kept: The stream of a training before; used again if it fits, so that nothing is compiled
            twice.
        listener: The callback that is going to get the rows.

    Raises:
        RecorderError: The values of single batches can't be read from this model.
    """
    check_trainer(model)
    found = stream_of(model.train_function)
    if found is not None and found.fit is not listener.params:
        found.leave()  # left over from a training that an exception ended
        found = None
    if found is None:
        found = kept if kept is not None and kept.fits(model) else BatchStream(model)
        found.start(listener.params)
    found.listeners.append(listener)
    return found
