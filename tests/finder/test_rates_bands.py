"""Bands: levels pooled to a few, and rules that say their multipliers."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from layerwise.errors import FinderError
from layerwise.finder import Bands, check_one_rate, rules_to_search
from layerwise.finder._rates import tilts
from layerwise.finder._rates.bands import pooled
from layerwise.multipliers import Parameter, layer_decay, resolve
from layerwise.schedules import linear

PARTS = st.sampled_from(["a", "b", "block1", "block10", "w", "w_v", "head"])
NAMES = st.lists(
    st.lists(PARTS, min_size=1, max_size=3).map("/".join), min_size=1, max_size=12, unique=True
)


def bands_of(names: list[str], rules: dict[str, float] | None = None, most: int = 5) -> Bands:
    plan = resolve([Parameter(name) for name in names], rules_to_search(rules))
    return Bands.of(plan, most, rules)


@given(NAMES, st.data())
def test_rules_give_each_parameter_its_multiplier(names: list[str], data: st.DataObject) -> None:
    cut = data.draw(st.lists(st.integers(0, 3), min_size=len(names), max_size=len(names)))
    kept = data.draw(st.integers(0, 2))
    members = [[n for n, place in zip(names, cut, strict=True) if place == band] for band in (0, 1)]
    assume(all(members))
    others = [n for n, place in zip(names, cut, strict=True) if place > 1]
    bands = Bands(tuple(map(tuple, members)), fixed=dict.fromkeys(others[:kept], 0.5))
    rules = bands.rules([0.25, 3.0])
    plan = resolve([Parameter(n) for n in names if n not in others], rules, strict=False)
    wanted = {n: m for ns, m in zip(members, (0.25, 3.0), strict=True) for n in ns}
    assert {row.parameter.name: row.value for row in plan.rows} == wanted
    # A rule says nothing of what is not in a band, unless it is a whole name that begins another.
    rest = resolve([Parameter(n) for n in others[:kept]], rules, strict=False)
    assert all(row.rule is None or row.rule in names for row in rest.rows)


def test_few_keys_say_it() -> None:
    names = ["body/0/kernel", "body/0/bias", "body/1/kernel", "body/1/bias", "head/kernel"]
    bands = bands_of(names)
    assert bands.rules([0.25, 0.5, 1.0]) == {"body/0/": 0.25, "body/1/": 0.5}
    assert bands.rules([1.0, 1.0, 1.0]) == {}
    assert bands.rules([0.0, 0.0, 1.0]) == {"body/0/": 0.0, "body/1/": 0.0}
    assert bands.names == ("body/0", "body/1", "head")


def test_given_rules_are_kept_and_their_parameters_are_in_no_band() -> None:
    bands = bands_of(["stem/kernel", "body/kernel", "head/kernel"], {"stem": 0.0})
    assert bands.parameters == (("body/kernel",), ("head/kernel",))
    assert bands.fixed == {"stem/kernel": 0.0}
    assert bands.rules([0.5, 1.0]) == {"body/": 0.5, "stem": 0.0}


@given(st.integers(1, 40), st.integers(1, 8))
def test_pooled_bands_are_neighbours_and_about_equal(levels: int, most: int) -> None:
    bands = pooled([[str(level)] for level in range(levels)], most)
    assert [name for band in bands for name in band] == [str(level) for level in range(levels)]
    assert len(bands) == min(levels, most)
    if len(bands) > 1:
        assert bands[-1] == [str(levels - 1)]
        sizes = [len(band) for band in bands[:-1]]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (layer_decay(0.5), r"^rules=layer_decay\(0\.5\) must be a mapping of keys to numbers"),
        ({"head": linear(1, 0, 10)}, r"^The multiplier of 'head' must be a number, .* linear"),
        ({"head": lambda step: 1.0}, r"^The multiplier of 'head' must be a number"),
        (
            {"head": 0.5, object: 0.0},
            r"^The key <class 'object'> of rules= must be a string, .*path",
        ),
        ({3: 0.0}, r"^The key 3 of rules= must be a string"),
    ],
)
def test_only_numbers_can_be_kept(rules: object, message: str) -> None:
    with pytest.raises(FinderError, match=message):
        rules_to_search(rules)  # type: ignore[arg-type]


def test_something_has_to_be_left_to_search() -> None:
    with pytest.raises(FinderError, match=r"^There is nothing to search for: every parameter"):
        bands_of(["stem/kernel", "head/kernel"], {"stem": 0.0, "head": 1.0})


def test_an_optimizer_with_several_rates_is_refused() -> None:
    with pytest.raises(FinderError, match=r"rates of its own .*\(body: 0\.1, head: 1\)"):
        check_one_rate({"body": 0.1, "head": 1.0})


def test_a_shared_parameter_gets_the_multiplier_of_its_band() -> None:
    tied = Parameter("emb/weight", aliases=("out/weight",))
    named = [tied, Parameter("mid/weight"), Parameter("out/bias")]
    bands = Bands.of(resolve(named, rules_to_search(None)), most=5)
    for multipliers in ([0.1, 0.3, 0.4], [1.0, 0.3, 0.1], [0.1, 0.3, 1.0]):
        by_name = dict(zip(("emb/weight", "mid/weight", "out/bias"), multipliers, strict=True))
        plan = resolve(named, bands.rules(multipliers))
        assert {row.parameter.name: row.value for row in plan.rows} == by_name


def test_what_the_optimizer_does_not_have_is_frozen_by_the_rules() -> None:
    names = ["stem/0/w", "stem/1/w", "body/w", "head/w"]
    plan = resolve([Parameter(name) for name in names], rules_to_search(None))
    bands = Bands.of(plan, 5, held={"stem/0/w", "stem/1/w"})
    assert bands.parameters == (("body/w",), ("head/w",))
    assert bands.rules([0.5, 1.0]) == {"body/": 0.5, "stem/": 0.0}
    assert bands.rules([1.0, 1.0]) == {"stem/": 0.0}
    with pytest.raises(FinderError, match=r"isn't in the optimizer"):
        Bands.of(plan, 5, held=names)


@pytest.mark.parametrize("multipliers", [[0.3, 1.0], [1.0, 0.3]])
def test_what_no_rule_can_name_is_refused(multipliers: list[float]) -> None:
    named = [
        Parameter("v/pos"),
        Parameter("v/pos_mlp/kernel", annotation=0.1),
        Parameter("v/head/kernel"),
    ]
    plan = resolve(named, rules_to_search(None))
    with pytest.raises(
        FinderError, match=r"without naming .* too: 'v/pos_mlp/kernel' has the annotation 0\.1"
    ):
        Bands.of(plan, most=5)
    # The way out: the same as a rule.
    plain = [Parameter(one.name) for one in named]
    kept = {"v/pos_mlp": 0.1}
    bands = Bands.of(resolve(plain, rules_to_search(kept)), most=5, given=kept)
    rows = resolve(plain, bands.rules(multipliers)).rows
    assert [row.value for row in rows] == [multipliers[0], 0.1, multipliers[1]]


def test_an_annotation_that_moves_is_refused() -> None:
    named = [Parameter("stem/w", annotation=linear(1, 0, 10)), Parameter("head/w")]
    plan = resolve(named, rules_to_search(None))
    with pytest.raises(FinderError, match=r"^The multiplier of 'stem/w' moves \(linear.*Search"):
        Bands.of(plan, most=5)


def test_numbers_of_other_libraries_are_kept() -> None:
    kept = {"stem": np.float32(0.5), "body": np.int64(0)}
    bands = bands_of(["stem/w", "body/w", "head/w"], kept)  # type: ignore[arg-type]
    assert json.loads(json.dumps(bands.rules([1.0]))) == {"stem": 0.5, "body": 0.0}


@pytest.mark.parametrize("parameters", [(), ((), ("a",))])
def test_no_band_is_empty(parameters: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(FinderError, match=r"^There must be at least one band, each of at least"):
        Bands(parameters)


def test_rates_that_are_equal_but_for_rounding_are_one() -> None:
    check_one_rate({"group 0": 1.0, "group 1": 0.3 / (0.1 * 3)})
    with pytest.raises(FinderError, match=r"rates of its own"):
        check_one_rate({"group 0": 1.0, "group 1": 1.001})


def test_many_bands_have_multipliers_too() -> None:
    assert tilts.multipliers(3.0, 700)[:2] == (1.0, 0.333)
    assert tilts.multipliers(0.3, 700)[-2:] == (0.3, 1.0)
    assert tilts.multipliers(3.0, 700)[-1] == tilts.multipliers(0.3, 700)[0] == 0.0


def test_bands_can_be_copied_and_pickled_and_not_changed() -> None:
    bands = bands_of(["stem/w", "body/w", "head/w"], {"stem": 0.5})
    assert pickle.loads(pickle.dumps(bands)) == copy.deepcopy(bands) == bands
    with pytest.raises(TypeError):
        bands.given["stem"] = 1.0  # type: ignore[index]
