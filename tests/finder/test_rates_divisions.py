"""Divisions: what is held out is never trained on, and classes are divided alike."""

from collections import OrderedDict, UserDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.errors import FinderError
from layerwise.finder._rates._divisions.batch_arrays import with_items
from layerwise.finder._rates._divisions.divisions import divisions
from layerwise.finder._rates._divisions.same_examples import first_same

OPTIONS: dict[str, Any] = {"needed": 20, "count": 3, "share": 0.3, "seed": 0, "most": 10}


def data(examples: int, batch: int = 8, classes: int = 3) -> list[tuple[Any, Any]]:
    x, y = np.arange(examples), np.arange(examples) % classes
    return [(x[i : i + batch], y[i : i + batch]) for i in range(0, examples, batch)]


def numbers_in(batches: Any) -> set[int]:
    return {int(number) for x, *_ in batches for number in x}


@given(st.integers(24, 90), st.integers(2, 12), st.floats(0.2, 0.6))
def test_no_example_is_on_both_sides(examples: int, batch: int, share: float) -> None:
    options = OPTIONS | {"needed": 50, "share": share, "most": 50}
    for division in divisions(data(examples, batch), np.concatenate, **options):
        trained = numbers_in(division.item(n) for n in range(60))
        held_out = numbers_in(division.held_out)
        assert trained.isdisjoint(held_out)
        assert len(trained) + len(held_out) >= examples - len(division.held_out)
        assert abs(len(held_out) / examples - share) < 0.5 * share + 3 / examples
        sizes = {len(x) for x, _ in division.held_out}
        assert len(sizes) == 1  # or something would be compiled anew


def test_each_class_is_held_out_alike() -> None:
    for division in divisions(data(60, classes=3), np.concatenate, **OPTIONS):
        held_out = np.concatenate([y for _, y in division.held_out])
        assert np.bincount(held_out).tolist() == [6, 6, 6]


@pytest.mark.parametrize("classes", [1, 3])
def test_divisions_hold_out_others_as_long_as_there_are_any(classes: int) -> None:
    source = data(60, classes=classes)
    if classes == 1:  # a float is no class
        source = [(x, y.astype(float)) for x, y in source]
    made = divisions(source, np.concatenate, **OPTIONS | {"count": 4})
    first, second, third, fourth = (numbers_in(division.held_out) for division in made)
    assert len(first | second | third) == 54
    assert len(fourth & first) >= 12  # only six are left, and the first come again


def test_divisions_hold_out_other_batches_as_long_as_there_are_any() -> None:
    made = divisions(data(80), None, **OPTIONS | {"count": 4})
    first, second, third, fourth = (numbers_in(division.held_out) for division in made)
    assert len(first | second | third) == 72
    assert len(fourth & (first | second | third)) == 16


def test_divisions_differ_and_come_again_with_the_seed() -> None:
    first, again = (
        [numbers_in(d.held_out) for d in divisions(data(60), np.concatenate, **OPTIONS)]
        for _ in range(2)
    )
    assert first == again
    assert len({frozenset(numbers) for numbers in first}) == 3
    options = OPTIONS | {"seed": 1}
    other = [numbers_in(d.held_out) for d in divisions(data(60), np.concatenate, **options)]
    assert other != first


def test_each_time_through_has_a_new_order() -> None:
    division = divisions(data(40), np.concatenate, **OPTIONS)[0]
    size = len(numbers_in([division.item(0)]))
    epoch = 28 // size
    orders = [
        [int(n) for b in range(e * epoch, (e + 1) * epoch) for n in division.item(b)[0]]
        for e in range(2)
    ]
    assert orders[0] != orders[1]
    assert division.item(3)[0].tolist() == division.item(3)[0].tolist()


class Named(NamedTuple):
    x: Any
    y: Any


@pytest.mark.parametrize("kind", ["mapping", "nested", "named", "list"])
def test_batches_keep_their_form(kind: str) -> None:
    made: dict[str, Any] = {
        "mapping": lambda x, y: {"x": x, "labels": y},
        "nested": lambda x, y: ({"a": x, "b": [x, x]}, y),
        "named": Named,
        "list": lambda x, y: [x, y],
    }
    source = [made[kind](x, y) for x, y in data(40)]
    division = divisions(source, np.concatenate, **OPTIONS)[0]
    item = division.item(0)
    assert type(item) is type(source[0])
    x, y = (item["x"], item["labels"]) if kind == "mapping" else item
    first = x["a"] if kind == "nested" else x
    assert (first % 3 == y).all()
    if kind == "nested":
        assert (x["b"][1] == first).all()


@pytest.mark.parametrize("kind", ["no join", "ragged", "other shapes", "plain numbers"])
def test_what_cannot_be_taken_apart_is_divided_by_batches(kind: str) -> None:
    source: list[Any] = data(80)
    if kind == "ragged":
        source = [(x, y, x[:3]) for x, y in source]
    if kind == "other shapes":
        source = [(np.zeros((len(x), n + 1)), x, y) for n, (x, y) in enumerate(source)]
    if kind == "plain numbers":
        source = list(range(10))
    join = None if kind == "no join" else np.concatenate
    division = divisions(source, join, **OPTIONS)[0]
    trained = {id(division.item(n)) for n in range(30)}
    assert trained.isdisjoint(map(id, division.held_out))
    assert len(trained) + len(division.held_out) == 10
    assert len(division.held_out) == 3


def test_of_much_data_only_as_much_is_drawn_as_is_needed() -> None:
    drawn = 0

    def endless() -> Any:
        nonlocal drawn
        while True:
            drawn += 1
            yield np.arange(4) + 4 * drawn, np.arange(4) % 2

    found = divisions(endless(), np.concatenate, **OPTIONS | {"most": 2})
    assert drawn == 22
    assert all(len(division.held_out) == 2 for division in found)
    assert len(numbers_in(found[0].item(n) for n in range(20))) == 80


def test_given_batches_are_held_out_and_all_else_is_trained_on() -> None:
    given_ = [(np.array([100, 101]), np.array([0, 1]))]
    for division in divisions(data(40), np.concatenate, held_out=given_, **OPTIONS):
        assert numbers_in(division.held_out) == {100, 101}
        assert numbers_in(division.item(n) for n in range(20)) == set(range(40))


def test_one_hot_labels_are_classes() -> None:
    source = [(x, np.eye(3)[y]) for x, y in data(60)]
    division = divisions(source, np.concatenate, **OPTIONS)[0]
    assert sum(y.sum(axis=0) for _, y in division.held_out).tolist() == [6, 6, 6]


@pytest.mark.parametrize("join", [np.concatenate, None], ids=["examples", "batches"])
def test_nothing_to_hold_out(join: Any) -> None:
    with pytest.raises(FinderError, match=r"^The data has only .*nothing can be held out .*held_o"):
        divisions([(np.arange(1), np.zeros(1))], join, **OPTIONS)


def test_no_data() -> None:
    with pytest.raises(FinderError, match=r"^The data has no batch: pass a loader"):
        divisions([], np.concatenate, **OPTIONS)
    with pytest.raises(FinderError, match=r"^held_out has no batch: pass at least one, or None\.$"):
        divisions(data(40), np.concatenate, held_out=[], **OPTIONS)


@pytest.mark.parametrize("rare", [0, 1], ids=["all alike", "one other"])
def test_one_class_alone_is_refused(rare: int) -> None:
    x, y = np.arange(40), np.zeros(40, int)
    y[:rare] = 1
    with pytest.raises(FinderError, match=r"part of a division has examples of one class only, 0"):
        divisions([(x, y)], np.concatenate, **OPTIONS)


def test_numbers_to_regress_on_are_no_classes() -> None:
    x = np.arange(40)
    assert divisions([(x, np.zeros(40))], np.concatenate, **OPTIONS)
    assert divisions([(x, x)], np.concatenate, **OPTIONS)


def test_something_is_left_to_train_on_however_much_is_held_out() -> None:
    division = divisions(range(2), None, **OPTIONS | {"share": 0.9})[0]
    assert len(division.held_out) == 1
    assert division.item(0) not in division.held_out


def drawn_again(examples: int, batch: int = 8, batches: int = 30) -> list[tuple[Any, Any]]:
    """Batches of examples that were drawn with replacement."""
    random = np.random.default_rng(4)
    places = [random.integers(examples, size=batch) for _ in range(batches)]
    x = np.random.default_rng(5).normal(size=(examples, 3))
    return [(np.column_stack([at, x[at]]), at % 3) for at in places]


def test_no_copy_of_what_is_held_out_is_trained_on() -> None:
    source = drawn_again(40)
    for division in divisions(source, np.concatenate, **OPTIONS | {"needed": 30, "most": 30}):
        held_out = [int(row[0]) for x, _ in division.held_out for row in x]
        assert len(set(held_out)) == len(held_out)  # each counts once
        trained = {int(row[0]) for n in range(40) for row in division.item(n)[0]}
        assert trained.isdisjoint(held_out)
        assert 8 <= len(held_out) <= 13  # of 40
        assert division.batches == len(trained) / 8


@pytest.mark.parametrize("width", [1, 3000])
def test_examples_that_differ_at_one_place_are_two(width: int) -> None:
    x = np.zeros((40, width))
    x[:, 0] = np.arange(40)
    division = divisions([(x, np.arange(40) % 2)], np.concatenate, **OPTIONS)[0]
    assert division.batches == 28 / 28
    assert sum(len(y) for _, y in division.held_out) == 12


def test_the_same_examples_alone_leave_nothing_to_hold_out() -> None:
    source = [(np.zeros((8, 2)), np.zeros(8))] * 5
    with pytest.raises(FinderError, match=r"^The data has only 1 different example, so that"):
        divisions(source, np.concatenate, **OPTIONS)


def test_the_targets_may_be_at_another_place() -> None:
    x, y = np.arange(60), np.arange(60) % 3
    source = [(x, np.full(60, 7), y)]
    for place in (2, -1):
        division = divisions(source, np.concatenate, targets_at=place, **OPTIONS)[0]
        held_out = np.concatenate([labels for *_, labels in division.held_out])
        assert np.bincount(held_out).tolist() == [6, 6, 6]
    with pytest.raises(FinderError, match="examples of one class only, 7"):
        divisions(source, np.concatenate, targets_at=1, **OPTIONS)
    assert divisions(source, np.concatenate, **OPTIONS)  # of three nobody knows which it is


def test_the_targets_may_come_first() -> None:
    source = [(np.arange(60) % 3, np.arange(60))]
    division = divisions(source, np.concatenate, targets_at=0, **OPTIONS)[0]
    held_out = np.concatenate([labels for labels, _ in division.held_out])
    assert np.bincount(held_out).tolist() == [6, 6, 6]


@pytest.mark.parametrize("values", [(0.0, 1.0), (-1.0, 1.0)])
def test_two_whole_numbers_are_classes_also_as_floats(values: tuple[float, float]) -> None:
    y = np.where(np.arange(60) < 8, values[1], values[0])[:, None]
    source = [(np.arange(60), y)]
    for division in divisions(source, np.concatenate, **OPTIONS):
        rare = sum(int((labels == values[1]).sum()) for _, labels in division.held_out)
        assert rare in (2, 3)


def test_arrays_that_cannot_be_joined_are_divided_by_batches() -> None:
    division = divisions(data(80), lambda _: None, **OPTIONS)[0]
    assert len(division.held_out) == 3
    assert division.batches == 7


def test_whole_numbers_to_regress_on_are_no_classes_either() -> None:
    amounts = np.where(np.arange(200) < 180, 0, 1000 + np.arange(200))
    for division in divisions([(np.arange(200), amounts)], np.concatenate, **OPTIONS):
        assert sum(len(y) for _, y in division.held_out) == 60
    words = np.array(["a", "b"] * 30)
    assert divisions([(np.arange(60), words)], np.concatenate, **OPTIONS)


@pytest.mark.parametrize("shape", [(40, 0), (40,), (40, 2, 0, 3)])
def test_arrays_without_values_tell_nothing_and_do_no_harm(shape: tuple[int, ...]) -> None:
    source = [(np.arange(40), np.zeros(shape), np.arange(40) % 2)]
    assert divisions(source, np.concatenate, targets_at=-1, **OPTIONS)[0].batches == 28 / 28


def test_long_and_sparse_examples_that_differ_are_not_the_same() -> None:
    random = np.random.default_rng(0)
    words = np.zeros((100, 20_000), np.float32)
    for row in words:
        row[random.choice(20_000, 5, replace=False)] = 1.0
    source = [(words, np.arange(100) % 2)]
    division = divisions(source, np.concatenate, **OPTIONS)[0]
    assert sum(len(y) for _, y in division.held_out) == 30
    assert division.batches == 70 / 70


def test_words_are_compared_as_words() -> None:
    words = np.array([f"word {n % 20}" for n in range(40)], dtype=object)
    for division in divisions([(words, np.arange(40) % 2)], np.concatenate, **OPTIONS):
        held_out = {word for some, _ in division.held_out for word in some}
        assert held_out.isdisjoint(division.item(0)[0])
        assert len(held_out) == 6


def test_a_rare_class_that_floats_tell_may_be_left_out() -> None:
    y = np.zeros(848)
    y[:4] = 1.0
    source = [(np.arange(i, i + 8), y[i : i + 8]) for i in range(0, 848, 8)]
    options = OPTIONS | {"needed": 95, "most": 11, "count": 4}
    assert len(divisions(source, np.concatenate, **options)) == 4


def test_batches_without_examples_are_left_out() -> None:
    empty = (np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(FinderError, match=r"^The data has no batch"):
        divisions([empty, empty], np.concatenate, **OPTIONS)
    source = [empty, *data(40)]
    source = [source[0][1:] * 2, *source[1:]]
    assert divisions(source, np.concatenate, **OPTIONS)[0].batches == 28 / 8


@pytest.mark.parametrize(
    "others",
    [
        lambda x, y: {"y": y, "x": x},
        lambda x, y: {"x": x, "mask": y},
        lambda x, y: {"x": x, "y": y, "more": None},
    ],
    ids=["other order", "other names", "one more"],
)
def test_batches_of_several_forms_are_not_mixed(others: Any) -> None:
    source = [
        others(x, y) if number % 2 else {"x": x, "y": y} for number, (x, y) in enumerate(data(80))
    ]
    for division in divisions(source, np.concatenate, **OPTIONS):
        for batch in (*division.held_out, *map(division.item, range(20))):
            assert any(batch is one for one in source)


def test_of_none_at_several_places_arrays_are_not_mixed() -> None:
    source = [(x, None, y) if x[0] % 16 else (None, x, y) for x, y in data(80)]
    made = divisions(source, np.concatenate, **OPTIONS)[0]
    assert all(any(batch is one for one in source) for batch in map(made.item, range(20)))


class Unreadable:
    """An array whose type NumPy doesn't have, as random keys of JAX."""

    def __init__(self, numbers: Any) -> None:
        self.numbers = np.asarray(numbers)
        self.shape = self.numbers.shape

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, at: Any) -> "Unreadable":
        return Unreadable(self.numbers[at])

    def reshape(self, *shape: int) -> "Unreadable":
        return Unreadable(self.numbers.reshape(*shape))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("no such type")


def test_examples_that_cannot_be_read_are_all_different() -> None:
    def joined(arrays: Any) -> Any:
        if isinstance(arrays[0], np.ndarray):
            return np.concatenate(arrays)
        return Unreadable(np.concatenate([array.numbers for array in arrays]))

    source = [(Unreadable(x), y) for x, y in data(60)]
    division = divisions(source, joined, **OPTIONS)[0]
    held_out = {int(n) for x, _ in division.held_out for n in x.numbers}
    trained = {int(n) for item in map(division.item, range(20)) for n in item[0].numbers}
    assert len(held_out) == 18
    assert len(trained) == 42
    assert trained.isdisjoint(held_out)


def test_long_rows_of_objects_are_compared_whole() -> None:
    rows = np.array([[str(n if place == 2500 else 0) for place in range(3000)] for n in range(24)])
    made = np.empty(24, object)
    made[:] = list(rows)
    source = [(made[i : i + 8], np.arange(8.0)) for i in range(0, 24, 8)]
    division = divisions(source, np.concatenate, **OPTIONS)[0]
    assert sum(len(x) for x, _ in division.held_out) == 7


def test_targets_that_cannot_be_ordered_are_no_classes() -> None:
    source = [(x, np.array([None, *y[1:].tolist()], object)) for x, y in data(40)]
    assert numbers_in(divisions(source, np.concatenate, **OPTIONS)[0].held_out)


class Fields(UserDict[str, Any]):
    """A batch with a method of its own, as those of Transformers are."""

    @property
    def x(self) -> Any:
        return self["x"]


class Frozen(Mapping[str, Any]):
    """A mapping that can't be changed, as those of Flax are."""

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Any:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


@pytest.mark.parametrize("kind", [Fields, Frozen, OrderedDict])
def test_batches_keep_their_class(kind: Any) -> None:
    source = [kind({"x": x, "labels": y}) for x, y in data(40)]
    before = [one["x"].tolist() for one in source]
    for division in divisions(source, np.concatenate, **OPTIONS):
        batches = (*division.held_out, *map(division.item, range(10)))
        assert {type(batch) for batch in batches} == {kind}
        assert all((batch["x"] % 3 == batch["labels"]).all() for batch in batches)
    assert [one["x"].tolist() for one in source] == before


def test_empty_batches_are_not_held_out() -> None:
    given = [(np.arange(0), np.arange(0)), (np.arange(5), np.arange(5))]
    division = divisions(data(40), np.concatenate, held_out=given, **OPTIONS)[0]
    assert division.held_out == (given[1],)
    with pytest.raises(FinderError, match=r"^held_out has no batch"):
        divisions(data(40), np.concatenate, held_out=given[:1], **OPTIONS)


class Attributes(dict[str, Any]):
    """A batch whose values are attributes, too."""

    def __init__(self, items: Mapping[str, Any]) -> None:
        super().__init__(items)
        self.__dict__.update(items)


class Strict(Mapping[str, Any]):
    """A mapping that is made from something else."""

    def __init__(self, path: str) -> None:
        raise ValueError(path)

    def __getitem__(self, key: str) -> Any:
        return np.arange(8)

    def __iter__(self) -> Any:
        return iter(("x", "y"))

    def __len__(self) -> int:
        return 2


def test_values_that_are_attributes_are_those_of_the_batch() -> None:
    source = [Attributes({"x": x, "labels": y}) for x, y in data(40)]
    division = divisions(source, np.concatenate, **OPTIONS)[0]
    for batch in (*division.held_out, *map(division.item, range(10))):
        assert batch.__dict__ == {"x": batch["x"], "labels": batch["labels"]}


def test_a_mapping_that_cannot_be_made_becomes_a_dictionary() -> None:
    made = with_items(object.__new__(Strict), {"x": 1, "y": 2})
    assert made == {"x": 1, "y": 2}
    assert type(made) is dict


def test_equal_objects_are_the_same_and_those_that_cannot_be_told_are_all_different() -> None:
    a, b = "one text", "".join(["one", " text"])
    rows = np.empty((3, 2), object)
    rows[:] = [[a, a], [a, b], [a, "other"]]
    assert first_same([rows]).tolist() == [0, 0, 2]
    rows[:] = [[open, lambda: 0]] * 3
    assert first_same([rows]).tolist() == [0, 1, 2]
