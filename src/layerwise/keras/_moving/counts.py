"""What an optimizer counts beside updates: the tokens, samples or epochs that were trained.

Each count is a variable of the optimizer, so that it is saved with it, and passed to a compiled
step with the rest of its state. It has four integers of 32 bits, since JAX has no wider ones:
``[high, low, pending, complete]``. ``high * 2**30 + low`` is what the updates before were made of.
What is counted before a batch is pending until the update that it belongs to has been applied;
``complete`` is 1 right after that, for what is counted only when the batch is over.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import Variable, ops

from layerwise._checks import whole
from layerwise._text import shown
from layerwise.errors import ScheduleError
from layerwise.keras._internals.optimizer import OptimizerHooks
from layerwise.keras._internals.tensorflow import summed_over_replicas
from layerwise.keras._internals.values import Tensor, copy_of, is_traced, number_in, value_of
from layerwise.schedules import Schedule

_LOW = 2**30
_LARGEST = 2**31 - 1


class Counts:
    """The counts of an optimizer; a plain object, so that no backend tracks it.

    Args:
        names: What is counted.
        still: Whether the counts stay where they are, as during a search.
    """

    def __init__(self, names: Sequence[str] = (), still: bool = False) -> None:
        self.names = tuple(names)
        self.still = still
        self.variables: dict[str, Variable] = {}
        self._counted: set[str] = set()  # since the last update
        self._counted_unseen: set[str] = set()  # in compiled functions, which Python doesn't see
        self._fed: set[str] = set()

    def build(self, optimizer: OptimizerHooks) -> None:
        """Make the variables of an optimizer that has its others."""
        for name in self.names:
            self.variables[name] = optimizer.add_counts(4, f"{name}_count")

    def check(self, names: Sequence[str]) -> None:
        """Raise unless all of these are counted here.

        Raises:
            ScheduleError: One is not.
        """
        for name in names:
            if name not in self.names:
                known = ", ".join(self.names) or "updates alone"
                raise ScheduleError(
                    f"No schedule of this optimizer counts {shown(name)}: they count {known}. A "
                    f"schedule of {name} must be made with .by({name!r})."
                )

    @contextmanager
    def fed(self, names: Collection[str]) -> Iterator[None]:
        """While the block runs, somebody counts these for every update."""
        self._fed.update(names)
        try:
            yield
        finally:
            self._fed.difference_update(names)

    def used(self) -> None:
        """Note an update: what has been counted by hand was for this one."""
        self._counted.clear()

    def check_fed(self) -> None:
        """Raise unless somebody counts for this update, or the counts stand still.

        Raises:
            ScheduleError: Nobody does.
        """
        counted = self._fed | self._counted | self._counted_unseen
        missing = [name for name in self.names if name not in counted]
        if missing and not self.still:
            given = ", ".join(f"{name}=n" for name in missing)
            raise ScheduleError(
                f"The schedules count {' and '.join(missing)}, and nobody counts them. Updates "
                f"can't stand for that: give fit() the callback layerwise.keras.callbacks."
                f"Counter({given}), or call optimizer.count({given}) before each "
                "optimizer.apply(), or optimizer.stateless_count() before stateless_apply(), also "
                "where that is 0."
            )

    def add(self, amounts: Mapping[str, int | Tensor]) -> None:
        """Count what belongs to the next update.

        Args:
            amounts: Whole numbers, or integer tensors, which may be traced.

        Raises:
            ScheduleError: Nothing counts one of them, or it is no number of at least 0.
        """
        self.check(list(amounts))
        known = {name: checked_amount(amount, name) for name, amount in amounts.items()}
        for name, amount in known.items():
            variable = self.variables[name]
            high, low, waiting, complete = _parts(value_of(variable))
            new = ops.stack([high, low, waiting + summed_over_replicas(amount), complete])
            variable.assign(new)
            (self._counted_unseen if is_traced(new) else self._counted).add(name)

    def added(
        self,
        variables: Sequence[Variable],
        state: Sequence[Tensor],
        amounts: Mapping[str, int | Tensor],
    ) -> list[Tensor]:
        """The values of an optimizer's variables, with what belongs to the next update counted."""
        mapping = list(zip(variables, state, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            self.add(amounts)
        values = [scope.get_current_value(variable) for variable in variables]
        pairs = zip(state, values, strict=True)
        return [old if new is None else new for old, new in pairs]

    def set(self, counts: Mapping[str, int]) -> None:
        """Set the counts to what they are; nothing changes if one can't be set."""
        self.check(list(counts))
        known = {
            name: whole(count, f"The count of {name}", ScheduleError, at_least=0)
            for name, count in counts.items()
        }
        for name, count in known.items():
            self.variables[name].assign(np.array([count // _LOW, count % _LOW, 0, 0], np.int32))

    def take_over(self, others: "Counts") -> None:
        """Go on from the counts of another optimizer, as far as it has them."""
        for name, variable in others.variables.items():
            if name in self.variables:
                self.variables[name].assign(copy_of(variable))

    def read_once(self) -> "CountsOfStep":
        """The counts for one step, which are read from the device once at most."""
        return CountsOfStep(self)

    def on_host(self) -> dict[str, int]:
        """The counts by name, as numbers."""
        found = {}
        for name, variable in self.variables.items():
            high, low, *_ = number_in(variable).tolist()
            found[name] = high * _LOW + low
        return found

    def for_value(self, value: Schedule) -> dict[str, Tensor]:
        """The counts that a schedule needs, as tensors that may be traced.

        On JAX they are integers of 32 bits for what ends below 2**31, and else floats.
        """
        found = {}
        for name in value.counters:
            high, low, _, _ = _parts(value_of(self.variables[name]))
            if keras.backend.backend() != "jax":
                found[name] = ops.cast(high, "int64") * _LOW + ops.cast(low, "int64")
            elif value.length is not None and value.length <= _LARGEST:
                found[name] = ops.where(high >= 2, _LARGEST, high * _LOW + low)
            else:
                found[name] = ops.cast(high, "float32") * _LOW + ops.cast(low, "float32")
        return found

    def advance(self, batches: Variable, per_update: int) -> None:
        """Add what is pending, if the batch that was just counted has completed an update."""
        if self.still:
            return
        for variable in self.variables.values():
            high, low, waiting, _ = _parts(value_of(variable))
            total, one = low + waiting, ops.ones_like(low)
            new = ops.stack([high + total // _LOW, total % _LOW, ops.zeros_like(low), one])
            if per_update > 1:
                complete = ops.equal(value_of(batches) % per_update, 0)  # type: ignore[operator]
                same = ops.stack([high, low, waiting, ops.zeros_like(low)])
                new = ops.where(complete, new, same)
            variable.assign(ops.cast(new, "int32"))


class CountsOfStep:
    """The counts of an optimizer while one step is built or run.

    Args:
        counts: The counts.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._read: Mapping[str, int] | None = None

    def on_host(self) -> Mapping[str, int]:
        """The counts by name, as numbers."""
        if self._read is None:
            self._read = self._counts.on_host()
        return self._read

    def for_value(self, value: Schedule) -> dict[str, Tensor]:
        """The counts that a schedule needs, as tensors that may be traced."""
        return self._counts.for_value(value)


def counted_after(array: Tensor, amount: int | Tensor) -> Tensor:
    """The value of a count's variable after a batch that adds an amount to it.

    If the batch has completed an update, the amount belongs to that update.
    """
    high, low, waiting, complete = _parts(array)
    total = low + amount
    zero = ops.zeros_like(low)
    done = ops.stack([high + total // _LOW, total % _LOW, waiting, zero])
    more = ops.stack([high, low, waiting + amount, zero])
    new: Tensor = ops.cast(ops.where(ops.equal(complete, 1), done, more), "int32")
    return new


def checked_amount(amount: object, name: str) -> int | Tensor:
    """An amount that can be counted: a Python number, or a tensor that may be traced.

    Raises:
        ScheduleError: It is no whole number of at least 0.
    """
    if isinstance(amount, int | float | str | np.generic | np.ndarray) or amount is None:
        what = f"The count of {name}"
        return whole(amount, what, ScheduleError, at_least=0, at_most=_LOW - 1)
    dtype = getattr(amount, "dtype", None)
    if dtype is None or "int" not in str(dtype) or tuple(amount.shape) != ():  # type: ignore[attr-defined]
        raise ScheduleError(f"The count of {name} must be a whole number, got {shown(amount)}.")
    tensor: Tensor = ops.cast(amount, "int32")
    return tensor


def _parts(array: Tensor) -> tuple[Any, Any, Any, Any]:
    """The four numbers of a count."""
    return array[0], array[1], array[2], array[3]  # type: ignore[index]
