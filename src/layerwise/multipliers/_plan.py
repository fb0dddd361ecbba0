"""The plan: which multiplier each parameter gets, and why, as a table to read."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from layerwise import _show
from layerwise._numbers import counted
from layerwise._text import shown
from layerwise.errors import MultiplierError, ScheduleError
from layerwise.multipliers._names import wrapper_of
from layerwise.multipliers._values import (
    StepValue,
    Value,
    moves,
    product,
    value_at,
    value_key,
    value_text,
)
from layerwise.schedules import counters_of, counts_of_start

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console, ConsoleOptions
    from rich.table import Table

_SHOWN = 3  # rules or layers in a label, at most

Path: TypeAlias = tuple[str, ...]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parameter:
    """One trainable array of a model, with what rules need to know of it.

    Args:
        name: The name that the framework prints: ``backbone/conv/kernel``.
        shape: Its shape.
        short: The name without what a wrapper puts in front of it (a Keras model's name,
            PyTorch's ``module.``), or None. Keys that match no full name are tried against it.
        aliases: The other names of a shared parameter.
        annotation: The multiplier that its layer carries, or None.
        weight_decay: Its weight decay, to be shown in the plan, or None.
        trainable: Whether it is updated at all. If not, it still has a row in the plan, and a rule
            that matches only this parameter is not called unmatched.
        layer: Where several layers are stacked in one array: which of them this one is.

    Examples:
        >>> from layerwise.multipliers import Parameter
        >>> Parameter("head/kernel", (32, 10)).name
        'head/kernel'
    """

    name: str
    shape: tuple[int, ...] = ()
    short: str | None = None
    aliases: tuple[str, ...] = ()
    annotation: Value | None = None
    weight_decay: float | None = None
    trainable: bool = True
    layer: int | None = None

    def paths(self) -> tuple[tuple[str, str | None], ...]:
        """Each of its names, with the same name without the wrapper where that is shorter."""
        wrapper = wrapper_of(self.name, self.short)
        bare = [
            alias.removeprefix(wrapper) if wrapper and alias.startswith(wrapper) else None
            for alias in self.aliases
        ]
        short = None if self.short == self.name else self.short
        return ((self.name, short), *zip(self.aliases, bare, strict=True))


@dataclass(frozen=True)
class PlanRow:
    """One parameter of a plan.

    Attributes:
        parameter: The parameter.
        rule: What decided: the key of a rule, a strategy such as ``layer_decay(0.75)``,
            ``"annotation"``, or None if nothing did, so that the multiplier is 1.
        value: The multiplier: a ``float``, a schedule, or a callable.
        decay: The multiplier of its weight decay.
        decay_rule: What decided that: the key of a rule, a strategy, or None if nothing did.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> row = resolve([Parameter("head/kernel")], {"head": 0}).rows[0]
        >>> row.rule, row.value, row.frozen
        ('head', 0.0, True)
    """

    parameter: Parameter
    rule: str | None
    value: Value
    decay: Value = 1.0
    decay_rule: str | None = None

    @property
    def frozen(self) -> bool:
        """Whether the parameter never changes: it isn't trainable, or its multiplier is 0."""
        return not self.parameter.trainable or self.value == 0.0


@dataclass(frozen=True)
class Plan:
    """What rules mean for a model's parameters, to be read before any training.

    It prints as a table. If that would not fit a screen, parameters with the same settings share a
    line.

    Attributes:
        rows: One row per parameter, in the model's order.
        learning_rate: The base learning rate, or None if it isn't known.
        schedule: A factor on the base learning rate for all parameters, or None.
        steps: More steps to show rates at, beside ``step``.
        step: The present step: optimizer updates already applied.
        separator: What stands between the parts of a name: ``/``, or ``.`` in PyTorch.
        notes: Sentences on what a reader should check; they stand under the table.
        counts: What has been counted beside updates at the present step: ``{"tokens": 4096}``. At
            step 0 that is nothing; at any other step, what counts tokens is not known: ``?`` in the
            table, and None in ``to_dict``.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> names = [Parameter("body/kernel", (8, 4)), Parameter("head/kernel", (4, 2))]
        >>> plan = resolve(names, {"body": 0.1}, learning_rate=1e-3)
        >>> print(plan)
        parameter    shape  rule  multiplier  rate @ 0
        ───────────────────────────────────────────────
        body/kernel  8x4    body         0.1      1e-4
        head/kernel  4x2                   1      1e-3
        2 parameters, 2 different multipliers, none
        frozen, base rate 1e-3
        >>> plan.to_dict()["rate @ 0"]
        [0.0001, 0.001]
    """

    rows: tuple[PlanRow, ...]
    learning_rate: float | None = None
    schedule: Value | None = None
    steps: tuple[int, ...] = ()
    step: int = 0
    separator: str = "/"
    notes: tuple[str, ...] = ()
    counts: Mapping[str, float] = field(default_factory=dict, hash=False)

    @cached_property
    def groups(self) -> tuple[tuple[Value, tuple[int, ...]], ...]:
        """The different multipliers in order of appearance, each with the places of its rows."""
        places: dict[object, list[int]] = {}
        for place, row in enumerate(self.rows):
            places.setdefault(value_key(row.value), []).append(place)
        return tuple((self.rows[same[0]].value, tuple(same)) for same in places.values())

    def map_values(self, change: Callable[[StepValue, str], Value]) -> Self:
        """The plan with its schedules and callables replaced.

        Args:
            change: Gets each different schedule or callable once, with what it is
                (``"The multiplier of 'head'"``, ``"The schedule"``), and returns the new value.

        Returns:
            The plan with the new values. Numbers stay as they are.

        Examples:
            >>> from layerwise import constant
            >>> from layerwise.multipliers import Parameter, resolve
            >>> plan = resolve([Parameter("head/kernel")], {"head": constant(0.5)})
            >>> plan.map_values(lambda value, what: value(0)).rows[0].value
            0.5
        """
        changed: dict[object, Value] = {}

        def new(value: Value, what: str) -> Value:
            if not moves(value):
                return value
            key = value_key(value)
            if key not in changed:
                changed[key] = change(value, what)
            return changed[key]

        rows = tuple(
            replace(row, value=new(row.value, _what(row)), decay=new(row.decay, _what_decay(row)))
            for row in self.rows
        )
        schedule = None if self.schedule is None else new(self.schedule, "The schedule")
        return replace(self, rows=rows, schedule=schedule)

    def multipliers(self, step: int, unknown: float | None = None) -> Floats:
        """The multiplier of each row at a step.

        Args:
            step: Optimizer updates already applied.
            unknown: What stands for a value that counts tokens, say, where the plan doesn't know
                how many there are at the step. By default that is an error.

        Returns:
            An array of shape ``(rows,)``.

        Raises:
            MultiplierError: A callable did not return a finite number of at least 0.
            ScheduleError: A multiplier counts what the plan doesn't know at the step.

        Examples:
            >>> from layerwise import cosine
            >>> from layerwise.multipliers import Parameter, resolve
            >>> resolve([Parameter("head/kernel")], {"head": cosine(100)}).multipliers(50)
            array([0.5])
        """
        result = np.empty(len(self.rows))
        for value, places in self.groups:
            what = _what(self.rows[places[0]])
            result[list(places)] = self._value_at(value, step, what, unknown)
        return result

    def _value_at(self, value: Value, step: int, what: str, unknown: float | None) -> float:
        """A value at a step, with what is counted there; ``unknown`` if that isn't known."""
        needed = counters_of([value])
        known: dict[str, float] = dict(counts_of_start([value])) if step == 0 else {}
        if step == self.step:
            known |= {name: self.counts[name] for name in needed if name in self.counts}
        missing = [name for name in needed if name not in known]
        if missing and unknown is not None:
            return unknown
        if missing:
            raise ScheduleError(
                f"{what} counts {' and '.join(missing)}, and the plan doesn't know how many there "
                f"are at step {step}. Read it at step 0 or at the present step, or pass "
                "unknown=float('nan')."
            )
        return value_at(value, step, what, counts=known)

    def rates(self, step: int, unknown: float | None = None) -> Floats:
        """The learning rate of each row at a step.

        It is ``learning_rate * schedule(step) * multiplier(step)``, and 0 for a parameter that
        isn't trainable.

        Args:
            step: Optimizer updates already applied.
            unknown: What stands for a value that counts tokens, say, where the plan doesn't know
                how many there are at the step. By default that is an error.

        Returns:
            An array of shape ``(rows,)``.

        Raises:
            MultiplierError: The plan was made without a learning rate, or a callable did not
                return a finite number of at least 0.
            ScheduleError: A rate counts what the plan doesn't know at the step.

        Examples:
            >>> from layerwise.multipliers import Parameter, resolve
            >>> resolve([Parameter("head/kernel")], {"head": 0.5}, learning_rate=0.1).rates(0)
            array([0.05])
        """
        if self.learning_rate is None:
            raise MultiplierError("The plan has no learning rate: make it with learning_rate=.")
        base = self.learning_rate
        if self.schedule is not None:
            base *= self._value_at(self.schedule, step, "The schedule", unknown)
        frozen = np.array([row.frozen for row in self.rows], dtype=bool)  # whatever the base is
        return np.where(frozen, 0.0, base * self.multipliers(step, unknown))

    @property
    def has_decay_rules(self) -> bool:
        """Whether a rule decides the weight decay of any row."""
        return any(row.decay_rule is not None for row in self.rows)

    def weight_decays(self, step: int) -> list[float | None]:
        """The weight decay of each row at a step: its weight decay times its decay multiplier.

        Args:
            step: Optimizer updates already applied.

        Returns:
            A number for each row; None where the weight decay isn't known at the step, or there is
            none.

        Raises:
            MultiplierError: A callable did not return a finite number of at least 0.

        Examples:
            >>> from layerwise.multipliers import Parameter, RuleSpec
            >>> spec = RuleSpec(decay_rules={"head/bias": 0})
            >>> head = [Parameter(f"head/{each}", weight_decay=0.01) for each in ("kernel", "bias")]
            >>> spec.resolve(head).weight_decays(0)
            [0.01, 0.0]
        """
        at_step: dict[object, float] = {}
        decays: list[float | None] = []
        for row in self.rows:
            base, key = row.parameter.weight_decay, value_key(row.decay)
            if base is not None and key not in at_step:
                at_step[key] = self._value_at(row.decay, step, _what_decay(row), math.nan)
            decays.append(None if base is None else base * at_step[key])
        return [None if decay is None or math.isnan(decay) else decay for decay in decays]

    def to_dict(self) -> dict[str, list[Any]]:
        """The table as plain columns of equal length, for JSON or a data frame.

        The columns are ``parameter``, ``shape``, ``rule``, ``multiplier`` (a number, or a text for
        what changes with the step), ``rate @ N`` for each step N shown (``multiplier @ N`` if there
        is no learning rate), ``weight decay`` at the present step and ``frozen``. If there are
        rules for weight decay, ``decay rule`` and ``decay multiplier`` stand before it.

        Examples:
            >>> from layerwise.multipliers import Parameter, resolve
            >>> columns = resolve([Parameter("head/kernel", (8, 2))], {"head": 0}).to_dict()
            >>> columns["parameter"], columns["shape"], columns["frozen"]
            (['head/kernel'], [[8, 2]], [True])
        """
        decays: dict[str, list[Any]] = {}
        if self.has_decay_rules:
            decays["decay rule"] = [row.decay_rule for row in self.rows]
            decays["decay multiplier"] = [value_text(row.decay) for row in self.rows]
        return {
            "parameter": [row.parameter.name for row in self.rows],
            "shape": [list(row.parameter.shape) for row in self.rows],
            "rule": [row.rule for row in self.rows],
            "multiplier": [value_text(row.value) for row in self.rows],
            **{
                title: [None if math.isnan(number) else number for number in column.tolist()]
                for title, column in self.columns_at_steps().items()
            },
            **decays,
            "weight decay": self.weight_decays(self.step),
            "frozen": [row.frozen for row in self.rows],
        }

    def columns_at_steps(self) -> dict[str, Floats]:
        """The rates, or else the multipliers, at the steps shown, by the title of the column.

        NaN stands for what isn't known.
        """
        if self.learning_rate is None:
            steps = (self.step, *self.steps) if self.steps else ()
            return {f"multiplier @ {step}": self.multipliers(step, math.nan) for step in steps}
        shown = (self.step, *self.steps)
        return {f"rate @ {step}": self.rates(step, math.nan) for step in shown}

    def plot(self, steps: int | Sequence[int], ax: "Axes | None" = None) -> "Axes":
        """Draw the rate of each different multiplier over the steps, with Matplotlib.

        Args:
            steps: How many steps from 0 on, or the steps themselves in rising order.
            ax: Axes to draw on; by default a new figure's.

        Returns:
            The axes. They show multipliers if the plan has no learning rate.

        Raises:
            LayerwiseError: ``steps`` are not as described, or a rate counts more than updates.

        Examples:
            >>> from layerwise import cosine
            >>> from layerwise.multipliers import Parameter, resolve
            >>> ax = resolve([Parameter("head/kernel")], schedule=cosine(100)).plot(steps=100)
            >>> ax.get_xlabel()
            'step (optimizer updates)'
        """
        return _show.plan_curves(self, steps, ax)

    def heat_map(
        self,
        steps: int | Sequence[int],
        ax: "Axes | None" = None,
        *,
        schedule: Value | None = None,
    ) -> "Axes":
        """Draw the rate of each layer at each step as a colour, with Matplotlib.

        Args:
            steps: How many steps from 0 on, or the steps themselves in rising order.
            ax: Axes to draw on; by default a new figure's.
            schedule: A schedule to draw the plan under instead of its own; without a learning rate,
                that times the multipliers is drawn.

        Returns:
            The axes. Frozen layers are hatched.

        Raises:
            LayerwiseError: ``steps`` or ``schedule`` are not as described, the plan is empty, or a
                rate counts more than updates.

        Examples:
            >>> from layerwise.multipliers import Parameter, layer_decay, resolve
            >>> names = [Parameter("body/kernel"), Parameter("head/kernel")]
            >>> ax = resolve(names, layer_decay(0.5)).heat_map(steps=100)
            >>> [label.get_text() for label in ax.get_yticklabels()]
            ['body', 'head']
        """
        return _show.plan_heat_map(self, steps, ax, schedule)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Table]":
        yield from _show.plan_tables(self, options.max_width)

    def _repr_html_(self) -> str:
        """The table for notebooks."""
        return _show.plan_html(self)

    def __str__(self) -> str:
        return _show.plan_text(self)

    def __repr__(self) -> str:
        frozen = sum(row.frozen for row in self.rows)
        rate = "" if self.learning_rate is None else f", learning_rate={self.learning_rate:g}"
        return (
            f"<Plan: {counted(len(self.rows), 'parameter')}, "
            f"{counted(len(self.groups), 'multiplier')}, {frozen} frozen{rate}>"
        )


def multiply_plans(inner: Plan, outer: Plan) -> Plan:
    """The plan of two sets of rules for the same parameters: their multipliers multiply.

    Args:
        inner: One plan, whose learning rate, steps and separator are kept.
        outer: The other plan, with the same parameters in the same order.

    Returns:
        A plan whose multipliers and schedules are the products.

    Examples:
        >>> from layerwise.multipliers import Parameter, multiply_plans, resolve
        >>> names = [Parameter("body/kernel"), Parameter("head/kernel")]
        >>> plan = multiply_plans(resolve(names, {"body": 0.5}), resolve(names, {"body": 0.25}))
        >>> plan.multipliers(0).tolist()
        [0.125, 1.0]
    """
    rows = [
        PlanRow(
            a.parameter,
            _both(a.rule, b.rule),
            product(a.value, b.value),
            product(a.decay, b.decay),
            _both(a.decay_rule, b.decay_rule),
        )
        for a, b in zip(inner.rows, outer.rows, strict=True)
    ]
    schedules = [plan.schedule for plan in (inner, outer) if plan.schedule is not None]
    return replace(
        inner,
        rows=tuple(rows),
        schedule=product(*schedules) if schedules else None,
        notes=tuple(dict.fromkeys((*inner.notes, *outer.notes))),
    )


def with_decays(plan: Plan, decays: Plan) -> Plan:
    """A plan whose multipliers of weight decay are the multipliers of another one.

    Args:
        plan: The plan.
        decays: What rules for weight decay make of the same parameters.
    """
    rows = tuple(
        replace(row, decay=decay.value, decay_rule=decay.rule)
        for row, decay in zip(plan.rows, decays.rows, strict=True)
    )
    return replace(plan, rows=rows, notes=tuple(dict.fromkeys((*plan.notes, *decays.notes))))


def group_labels(
    plan: Plan, groups: Sequence[Sequence[int]], names: Sequence[str] | None = None
) -> list[str]:
    """A readable label for each group of a plan's rows.

    A group is named after its rules (``default`` where there was none) if each of these rules
    stands for a single multiplier. Otherwise, as under a strategy, it is named after its layers:
    several that are all of a container by the container, and others by their names.

    Args:
        plan: The plan.
        groups: The places of each group's rows in the plan.
        names: The rows' names, to be shown instead of those in the plan.

    Returns:
        Labels such as ``backbone``, ``encoder/layer/3`` and ``default``; two may be equal, see
        ``distinct``.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> plan = resolve([Parameter("body/a/kernel"), Parameter("head/kernel")], {"body": 0.1})
        >>> group_labels(plan, [[0], [1]])
        ['body', 'default']
    """
    meanings: dict[str | None, set[int]] = {}
    for number, (_, members) in enumerate(plan.groups):
        for place in members:
            meanings.setdefault(plan.rows[place].rule, set()).add(number)
    paths = [
        tuple(name.split(plan.separator))
        for name in (names or [row.parameter.name for row in plan.rows])
    ]
    owners = _owners(paths, groups)
    labels = []
    for number, places in enumerate(groups):
        rules = list(dict.fromkeys(plan.rows[place].rule for place in places))
        if all(len(meanings[rule]) == 1 for rule in rules):
            labels.append(_joined(["default" if rule is None else rule for rule in rules]))
        else:
            layers = _layers([paths[place] for place in places], number, owners)
            labels.append(_joined([plan.separator.join(layer) for layer in layers]))
    return labels


def _owners(paths: Sequence[Path], groups: Sequence[Sequence[int]]) -> dict[Path, int | None]:
    """The group that has everything in a container, or None if no group has all of it."""
    group_of = {place: number for number, places in enumerate(groups) for place in places}
    owners: dict[Path, int | None] = {}
    for place, path in enumerate(paths):
        number = group_of.get(place)
        for end in range(1, len(path)):
            start = path[:end]
            owners[start] = number if owners.get(start, number) == number else None
    return owners


def _layers(paths: Sequence[Path], number: int, owners: Mapping[Path, int | None]) -> list[Path]:
    """The layers of a group's parameters; a parameter without a layer stands for itself.

    Several layers that are all that a container has are called by the container: ``blocks.3``.
    """
    layers = list(dict.fromkeys(path[:-1] or path for path in paths))
    inside = Counter(layer[:end] for layer in layers for end in range(1, len(layer)))
    shown: dict[Path, None] = {}
    for layer in layers:
        starts = (layer[:end] for end in range(1, len(layer)))
        shown[next((s for s in starts if inside[s] > 1 and owners[s] == number), layer)] = None
    return list(shown)


def _joined(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return " + ".join(texts[:_SHOWN]) + (f" + {more} more" if more > 0 else "")


def _both(*rules: str | None) -> str | None:
    return " * ".join(rule for rule in rules if rule is not None) or None


def _what(row: PlanRow) -> str:
    return f"The multiplier of {shown(row.rule or row.parameter.name)}"


def _what_decay(row: PlanRow) -> str:
    return f"The decay multiplier of {shown(row.decay_rule or row.parameter.name)}"
