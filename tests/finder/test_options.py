"""The options of a search: the same as keywords and as an object, and checked when it is made."""

import dataclasses
import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.errors import FinderError, LayerwiseError
from layerwise.finder import QuadraticTrainer, SearchKeywords, SearchOptions, search
from tests._support.bad_searches import BAD_SEARCHES


def test_keywords_and_options_are_the_same_in_name_order_and_type():
    fields = {field.name: field.type for field in dataclasses.fields(SearchOptions)}
    assert list(SearchKeywords.__annotations__.items()) == list(fields.items())
    assert SearchKeywords.__required_keys__ == frozenset()


def test_every_option_is_documented():
    text = inspect.getdoc(SearchOptions)
    assert all(f"\n    {field.name}: " in text for field in dataclasses.fields(SearchOptions))


@pytest.mark.parametrize(("wrong", "message"), BAD_SEARCHES)
def test_bad_values(wrong, message):
    with pytest.raises(FinderError, match=message) as caught:
        SearchOptions(**wrong)
    assert isinstance(caught.value, LayerwiseError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("wrong", "message"), BAD_SEARCHES)
def test_a_search_with_a_bad_value_has_not_begun(wrong, message):
    def draw():
        drawn.append(True)
        yield 0

    drawn, trainer = [], QuadraticTrainer()
    with pytest.raises(FinderError, match=message):
        search(trainer, draw(), **wrong)
    assert (drawn, trainer.updates) == ([], 0)


def test_whole_floats_are_steps():
    assert SearchOptions(steps=1e2) == SearchOptions(steps=100)


@given(st.floats(1e-9, 1e-2), st.floats(1e-1, 1e3), st.integers(10, 300))
def test_sweeps_end_where_they_are_told(low, high, steps):
    for spacing in ("geometric", "linear"):
        rates = SearchOptions(low=low, high=high, steps=steps, spacing=spacing).rates
        assert len(rates) == steps
        assert rates[0] == pytest.approx(low, rel=1e-12)
        assert rates[-1] == pytest.approx(high, rel=1e-12)
        assert (np.diff(rates) > 0).all()


def test_an_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError, match="lowest"):
        search(QuadraticTrainer(), range(10), lowest=1e-3)


def test_keywords_change_single_options():
    options = SearchOptions(steps=20, high=1e-2, progress=False)
    whole = search(QuadraticTrainer(), range(100), options)
    assert whole == search(QuadraticTrainer(), range(100), steps=20, high=1e-2, progress=False)
    changed = search(QuadraticTrainer(), range(100), options, steps=12)
    assert (len(changed.rates), changed.rates[-1]) == (12, whole.rates[-1])
