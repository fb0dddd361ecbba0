"""The options of a search: the same as keywords and as an object, and checked when it is made."""

import dataclasses
import inspect
import math

import pytest

from layerwise.errors import FinderError, LayerwiseError
from layerwise.finder import QuadraticTrainer, SearchKeywords, SearchOptions, search


def test_keywords_and_options_are_the_same_in_name_order_and_type():
    fields = {field.name: field.type for field in dataclasses.fields(SearchOptions)}
    assert list(SearchKeywords.__annotations__.items()) == list(fields.items())
    assert SearchKeywords.__required_keys__ == frozenset()


def test_every_option_is_documented():
    text = inspect.getdoc(SearchOptions)
    assert all(f"\n    {field.name}: " in text for field in dataclasses.fields(SearchOptions))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"low": 0.0}, "low=0.0"),
        ({"low": -1e-3}, "low=-0.001"),
        ({"high": math.inf}, "high=inf"),
        ({"high": math.nan}, "high=nan"),
        ({"low": 1.0, "high": 0.1}, "low=1.0 is not below high=0.1"),
        ({"low": True}, "low=True"),
        ({"steps": 9}, "steps=9"),
        ({"steps": 20.5}, "steps=20.5"),
        ({"spacing": "log"}, "'geometric' or 'linear'"),
        ({"method": "guess"}, "'probe' or 'sweep'"),
        ({"stop": "late"}, "'diverged', 'doubled', 'never'"),
        ({"smoothing": -1}, "smoothing=-1"),
        ({"horizon": 0}, "horizon=0"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"accumulate": 1.5}, "accumulate=1.5"),
        ({"memory": "disk"}, "'device' or 'host'"),
    ],
)
def test_bad_values(wrong, said):
    with pytest.raises(FinderError, match=said) as caught:
        SearchOptions(**wrong)
    assert isinstance(caught.value, LayerwiseError)
    assert isinstance(caught.value, ValueError)


def test_an_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError, match="lowest"):
        search(QuadraticTrainer(), range(10), lowest=1e-3)


def test_keywords_change_single_options():
    options = SearchOptions(steps=20, high=1e-2, progress=False)
    whole = search(QuadraticTrainer(), range(100), options)
    assert whole == search(QuadraticTrainer(), range(100), steps=20, high=1e-2, progress=False)
    changed = search(QuadraticTrainer(), range(100), options, steps=12)
    assert (len(changed.rates), changed.rates[-1]) == (12, whole.rates[-1])
