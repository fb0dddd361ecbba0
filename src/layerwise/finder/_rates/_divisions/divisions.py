"""Divisions: several ways to cut the data into a part to train on and a part that is held out.

Rates are compared on data that a probe did not train on. With few labels, the outcome on a single
held-out part is a matter of luck. So there are several divisions, which hold out different examples
as long as there are any, and each probe gets the next one.

Where the arrays of all batches can be joined, single examples are divided, with the same share of
each class, and drawn in a new order each time through. An example that comes several times, as from
a sampler with replacement, counts as one, so that no copy of what is held out is trained on.
Otherwise whole batches are divided.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from layerwise._numbers import counted
from layerwise.errors import FinderError
from layerwise.finder._batches import NO_BATCH
from layerwise.finder._rates._divisions.batch_arrays import (
    arrays_in,
    form_of,
    is_empty,
    length_of,
    refilled,
)
from layerwise.finder._rates._divisions.same_examples import Places, first_same, on_host

Item = TypeVar("Item")

Join = Callable[[Sequence[Any]], Any]
"""Joins arrays of a framework along their first axis; gives None where they can't be joined."""

_NOTHING: Places = np.arange(0)
_LABELS = ("labels", "label", "targets", "target", "y")
_FEW = 10  # whole numbers with at most this number of different values are always classes


@dataclass(frozen=True)
class Division(Generic[Item]):
    """What a probe trains on, and what it is scored on.

    Attributes:
        item: Gives a batch by its number, from 0 on without end.
        held_out: Batches that are not trained on.
        batches: How many batches there are until the data repeats.
    """

    item: Callable[[int], Item]
    held_out: tuple[Item, ...]
    batches: float


def divisions(
    source: Iterable[Item],
    join: Join | None,
    *,
    needed: int,
    count: int,
    share: float,
    seed: int,
    most: int,
    held_out: Iterable[Item] | None = None,
    targets_at: int | None = None,
) -> list[Division[Item]]:
    """Divide data.

    Args:
        source: Batches. They are drawn until they end, or until there are enough.
        join: Joins arrays, to divide single examples; None to divide batches only.
        needed: How many batches a probe trains on, at least 1.
        count: How many divisions to make.
        share: The share to hold out.
        seed: The seed of everything that is drawn.
        most: The most batches to hold out.
        held_out: Batches to hold out instead.
        targets_at: The place of the targets in a batch that is a tuple or list. None if it isn't
            known: then the second of a pair counts as the targets, and a longer batch has none.

    Raises:
        FinderError: There is no batch, nothing can be held out, or a part has a single class.
    """
    given = None
    if held_out is not None:
        given = tuple(islice((item for item in held_out if not is_empty(item)), most))
    if given == ():
        raise FinderError("held_out has no batch: pass at least one, or None.")
    apart = 0 if given else max(round(needed * share), 1)
    items = [item for item in islice(source, needed + min(apart, most)) if not is_empty(item)]
    if not items:
        raise FinderError(NO_BATCH)
    table = _table(items, join, targets_at)
    parts: Iterator[Places] = repeat(_NOTHING)
    if given is None:
        parts = _parts(items, table, share, most, seed)
    made = []
    for number, places in zip(range(count), parts, strict=False):
        random = np.random.default_rng([seed, number])
        if table is None:
            made.append(_by_batches(items, given, places, random))
        else:
            made.append(_by_examples(table, given, places, random))
    return made


@dataclass(frozen=True)
class _Table(Generic[Item]):
    """All examples, in arrays that are joined.

    Attributes:
        arrays: The arrays.
        like: A batch, for its containers.
        first: For each example the place of the first one that is the same.
        batch: How many examples a batch has.
        classes: The class of each example, or None.
    """

    arrays: Sequence[Any]
    like: Item
    first: Places
    batch: int
    classes: npt.NDArray[np.generic] | None

    @property
    def distinct(self) -> Places:
        """The places of examples that are not the same as an earlier one."""
        return np.unique(self.first)

    def take(self, places: Places) -> Item:
        taken = iter([array[places] for array in self.arrays])
        return refilled(self.like, taken)


def _table(items: Sequence[Item], join: Join | None, targets_at: int | None) -> _Table[Item] | None:
    """All examples of some batches; None where they can't be taken apart."""
    if join is None:
        return None
    parts = [list(arrays_in(item)) for item in items]
    sizes = [{length_of(array) for array in each} for each in parts]
    if any(len(size) != 1 or None in size for size in sizes):
        return None
    if any(form_of(item) != form_of(items[0]) for item in items):
        return None
    arrays = [join(each) for each in zip(*parts, strict=True)]
    if any(array is None for array in arrays):
        return None
    first = first_same(arrays)
    classes = _classes(refilled(items[0], iter(arrays)), targets_at, np.unique(first))
    return _Table(arrays, items[0], first, len(parts[0][0]), classes)


def _by_examples(
    table: _Table[Item],
    given: tuple[Item, ...] | None,
    apart: Places,
    random: np.random.Generator,
) -> Division[Item]:
    """One division of single examples.

    Args:
        table: All examples.
        given: Batches to hold out, or None.
        apart: The examples to hold out otherwise.
        random: Draws the order of the others.
    """
    trained = random.permutation(np.flatnonzero(~np.isin(table.first, apart)))
    held_out = given
    if held_out is None:
        if not len(apart) or not len(trained):
            examples = counted(len(table.distinct), "different example")
            raise _nothing_held_out(examples, "a larger share=, ")
        _check_classes(table.classes, {"training": trained, "held-out": apart})
        parts = -(-len(apart) // table.batch)
        size = len(apart) // parts  # of one size, so that nothing is compiled twice
        held_out = tuple(table.take(apart[i * size : (i + 1) * size]) for i in range(parts))
    batch = min(table.batch, len(trained))
    order: list[int] = []

    def item(number: int) -> Item:
        while len(order) < (number + 1) * batch:
            order.extend(random.permutation(trained).tolist())
        return table.take(np.array(order[number * batch : (number + 1) * batch], np.int64))

    return Division(item, held_out, len(np.unique(table.first[trained])) / batch)


def _parts(
    items: Sequence[Item], table: _Table[Item] | None, share: float, most: int, seed: int
) -> Iterator[Places]:
    """What to hold out, for one division after the other: examples, or else batches."""
    random = np.random.default_rng(seed)
    if table is None:
        apart = min(max(round(share * len(items)), 1), most, len(items) - 1)
        return _apart(np.zeros(len(items)), apart / len(items), random)
    distinct = table.distinct
    classes = np.zeros(len(distinct)) if table.classes is None else table.classes[distinct]
    share = min(share, most * table.batch / len(distinct))
    return (distinct[places] for places in _apart(classes, share, random))


def _apart(
    classes: npt.NDArray[np.generic], share: float, random: np.random.Generator
) -> Iterator[Places]:
    """Places to hold out, for one division after the other, without end.

    They are new ones as long as there are any, with the same share of each class.
    """
    members = [random.permutation(np.flatnonzero(classes == one)) for one in np.unique(classes)]
    begin = [0] * len(members)
    while True:
        chosen, owed = [], 0.0
        for number in random.permutation(len(members)).tolist():
            order = members[number]
            owed += share * len(order)
            taken = min(round(owed), len(order) - 1)
            owed -= taken
            places = np.arange(begin[number], begin[number] + taken)
            chosen.append(np.take(order, places, mode="wrap"))
            begin[number] += taken
        yield random.permutation(np.concatenate(chosen))


def _by_batches(
    items: Sequence[Item],
    given: tuple[Item, ...] | None,
    apart: Places,
    random: np.random.Generator,
) -> Division[Item]:
    """One division of whole batches, where ``_by_examples`` divides examples."""
    if given is None and not len(apart):
        raise _nothing_held_out("one batch, whose examples can't be taken apart")
    held_out = tuple(items[i] for i in apart) if given is None else given
    order = random.permutation(np.setdiff1d(np.arange(len(items)), apart))
    return Division(lambda number: items[order[number % len(order)]], held_out, len(order))


def _nothing_held_out(what: str, more: str = "") -> FinderError:
    return FinderError(
        f"The data has only {what}, so that nothing can be held out to compare rates on. Give more "
        f"data, {more}or data to compare on as held_out=."
    )


def _check_classes(classes: npt.NDArray[np.generic] | None, parts: Mapping[str, Places]) -> None:
    """Raise if a part of a division has examples of one class only.

    Floats are not checked: they may be no classes, and of two, a rare one may be missing by chance.
    """
    if classes is None or classes.dtype.kind == "f":
        return
    for part, places in parts.items():
        found = np.unique(classes[places]).tolist()
        if len(found) == 1:
            raise FinderError(
                f"The {part} part of a division has examples of one class only, {found[0]}, on "
                "which rates can't be compared. Shuffle the data, give more examples of each "
                "class or larger batches, or data to compare on as held_out=."
            )


def _classes(
    item: object, targets_at: int | None, distinct: Places
) -> npt.NDArray[np.generic] | None:
    """The class of each example of a batch, or None if there are none to be seen."""
    targets: Any = None
    if isinstance(item, Mapping):
        targets = next((item[name] for name in _LABELS if name in item), None)
    elif isinstance(item, Sequence) and (
        len(item) == 2 or (targets_at is not None and len(item) > 2)
    ):
        targets = item[1 if targets_at is None else targets_at]
    if targets is None or not hasattr(targets, "shape"):
        return None
    labels = on_host(targets)
    if labels is None or labels.dtype.kind == "O":
        return None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and ((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all():
        return np.asarray(labels.argmax(axis=1))
    if labels.ndim != 1:
        return None
    values, counts = np.unique(labels[distinct], return_counts=True)
    if labels.dtype.kind in "iub":  # most numbers to regress on come once
        are_classes = len(values) <= _FEW or bool(np.median(counts) > 1)
    else:  # numbers to regress on, unless there are two, such as 0 and 1
        are_classes = labels.dtype.kind == "f" and len(values) == 2 and not (values % 1).any()
    return labels if are_classes and 2 * len(values) <= len(distinct) + 1 else None
