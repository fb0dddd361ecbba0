"""Batches: drawn once and numbered; put together for one update."""

import pytest

from layerwise.errors import FinderError
from layerwise.finder import accumulated, search
from tests.finder.test_search import Watched


def test_a_list_starts_again_and_an_iterator_ends():
    asked = []
    for batches in ([0, 1, 2, 3], iter(range(13))):
        trainer = Watched()
        found = search(trainer, batches, steps=15, method="sweep", stop="never", progress=False)
        asked.append(([batch for batch, _ in trainer.asked], found.stopped))
    assert asked == [
        ([0, 1, 2, 3] * 3 + [0, 1, 2], "reached the upper rate"),
        (list(range(13)), "data ended"),
    ]


def test_what_is_accumulated_can_be_iterated_as_often_as_the_batches():
    pairs = accumulated([1, 2, 3, 4, 5], 2)
    assert list(pairs) == list(pairs) == [(1, 2), (3, 4)]
    once = accumulated(iter([1, 2, 3, 4, 5]), 2)
    assert (list(once), list(once)) == ([(1, 2), (3, 4)], [])
    assert list(accumulated([], 2)) == []


def test_too_few_batches_for_one_update():
    with pytest.raises(FinderError, match=r"accumulate=6 must be at most .* which is 5"):
        list(accumulated(range(5), 6))


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "2", None])
def test_a_number_of_batches_that_is_none(number):
    with pytest.raises(FinderError, match=r"^accumulate must be a whole number of at least 1, got"):
        accumulated([1, 2], number)
