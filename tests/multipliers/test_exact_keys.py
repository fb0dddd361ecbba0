"""Keys that stand for parts of a model themselves: their standing, and how they are saved."""

import copy
import json
import pickle

import pytest

from layerwise import AmbiguousRuleError, layer_decay
from layerwise.errors import ConfigError, UnmatchedRuleError
from layerwise.multipliers import (
    ExactKey,
    Parameter,
    Rules,
    RuleSpec,
    named_layers,
    named_rules,
    place_of,
    resolve,
    rules_from_config,
    rules_to_config,
)

NAMES = ["net.a.w", "net.a.b", "net.ab.w", "net.h.w"]
MODES = ["prefix", "substring", "glob", "regex"]
A = ExactKey("net.a", ["net.a"])


def multipliers(rules: Rules, mode: str = "prefix", **options: object) -> list[float]:
    parameters = [Parameter(name) for name in NAMES]
    found = resolve(parameters, rules, match=mode, separator=".", **options)  # type: ignore[arg-type]
    return found.multipliers(0).tolist()


@pytest.mark.parametrize("mode", MODES)
def test_it_matches_its_place_in_every_mode(mode: str) -> None:
    assert multipliers({A: 0.1}, mode) == [0.1, 0.1, 1, 1]
    assert multipliers({ExactKey("x", ["net.a.b", "net.h"]): 0.1}, mode) == [1, 0.1, 1, 0.1]


@pytest.mark.parametrize("mode", ["prefix", "substring"])
def test_a_longer_key_wins_and_a_shorter_one_loses(mode: str) -> None:
    assert multipliers({A: 0.1, "net.a.w": 0.5}, mode) == [0.5, 0.1, 1, 1]
    assert multipliers({A: 0.1, "net": 0.5}, mode) == [0.1, 0.1, 0.5, 0.5]
    assert multipliers({A: 0.1, ExactKey("net.a.w", ["net.a.w"]): 0.5}, mode) == [0.5, 0.1, 1, 1]


@pytest.mark.parametrize(("mode", "key"), [("glob", "*.w"), ("regex", "w$")])
def test_the_first_one_written_wins_among_patterns(mode: str, key: str) -> None:
    assert multipliers({A: 0.1, key: 0.5}, mode) == [0.1, 0.1, 0.5, 0.5]
    assert multipliers({key: 0.5, A: 0.1}, mode) == [0.5, 0.1, 0.5, 0.5]


@pytest.mark.parametrize("key", ["net.a", "net.a."])
def test_the_same_name_as_text_is_a_conflict(key: str) -> None:
    with pytest.raises(AmbiguousRuleError, match=r"'net\.a"):
        multipliers([{A: 0.1}, {key: 0.5}])


def test_the_same_name_without_the_wrapper_is_a_conflict() -> None:
    parameters = [Parameter("module.a.w", short="a.w"), Parameter("module.b.w", short="b.w")]
    key = ExactKey("module.a", ["module.a"])
    for text in ("a", "a."):
        with pytest.raises(AmbiguousRuleError, match=r"'module\.a' and 'a"):
            resolve(parameters, {key: 0.1, text: 0.5}, separator=".")


def test_a_container_without_a_name_loses_to_all_that_is_in_it() -> None:
    whole = ExactKey("Net", NAMES, nameless=True)
    inner = ExactKey("Inner", NAMES[:2], nameless=True)
    assert multipliers({whole: 0.5, inner: 0.2, "net.h": 3}) == [0.2, 0.2, 0.5, 3]
    assert multipliers({inner: 0.2, whole: 0.5, A: 0.1}) == [0.1, 0.1, 0.5, 0.5]


def test_two_names_of_one_parameter() -> None:
    shared = Parameter("enc.w", aliases=("dec.w",))
    enc, dec = ExactKey("enc", ["enc"]), ExactKey("dec", ["dec"])
    with pytest.raises(AmbiguousRuleError, match=r"'enc' and 'dec'|'dec' and 'enc'"):
        resolve([shared], {enc: 0.1, dec: 0.5}, separator=".")
    assert resolve([shared], {enc: 0.1, dec: 0.1}, separator=".").multipliers(0) == 0.1
    itself = ExactKey("enc.w", ["enc.w", "dec.w"])
    assert resolve([shared], {itself: 0.3, enc: 0.1}, separator=".").multipliers(0) == 0.3


def test_what_is_not_in_the_model_is_named() -> None:
    with pytest.raises(UnmatchedRuleError, match="'<Linear>': it is not a part of this model"):
        multipliers({ExactKey("<Linear>"): 0.1})
    with pytest.raises(UnmatchedRuleError, match="'act': no parameter has this name"):
        multipliers({ExactKey("act", ["act"]): 0.1})
    assert multipliers({ExactKey("<Linear>"): 0.1}, strict=False) == [1, 1, 1, 1]


def test_as_a_level() -> None:
    levels = [A, "net.ab", ExactKey("net.h", ["net.h"])]
    assert multipliers(layer_decay(0.5), layers=levels) == [0.25, 0.25, 0.5, 1]


def test_saved_and_copied() -> None:
    key = ExactKey("Net", NAMES[:2], nameless=True)
    for back in (pickle.loads(pickle.dumps(key)), copy.deepcopy(key)):
        assert (back, back.places, back.nameless) == ("Net", tuple(NAMES[:2]), True)
    data = json.loads(json.dumps(rules_to_config({key: 0.1, "net": 0.5})))
    rules = rules_from_config(data)
    assert multipliers(rules or {}) == multipliers({key: 0.1, "net": 0.5}) == [0.5] * 4
    again = rules_from_config(json.loads(json.dumps(rules_to_config({A: 0.1, "net": 0.5}))))
    assert multipliers(again or {}) == [0.1, 0.1, 0.5, 0.5]
    spec = RuleSpec(layer_decay(0.5), layers=[A, "net.ab", "net.h"])
    back = RuleSpec.from_config(json.loads(json.dumps(spec.to_config())))
    assert back.resolve([Parameter(n) for n in NAMES], separator=".").multipliers(0)[0] == 0.25
    with pytest.raises(ConfigError, match="no config of a rule"):
        rules_from_config({"version": 1, "rules": {"mapping": [[{"key": "x"}, 0.1]]}})


def test_objects_become_keys() -> None:
    def key_of(thing: object) -> ExactKey:
        return ExactKey(f"layer {thing}", [f"layer {thing}"])

    given = [{1: 0.5, "head": 2}, (2, 0.1), ("stem", 3), layer_decay(0.5), None]
    named = named_rules(given, key_of)
    expected = [{"layer 1": 0.5, "head": 2}, {"layer 2": 0.1}, {"stem": 3}, layer_decay(0.5), {}]
    assert named == expected
    assert named_rules((3, 0.1), key_of) == {"layer 3": 0.1}
    assert named_rules({1: 0.5, "layer 1": 0.25}, key_of) == [{"layer 1": 0.5}, {"layer 1": 0.25}]
    assert named_layers([1, [2, "a"], "b"], key_of, (int,)) == [
        "layer 1",
        ["layer 2", "a"],
        "b",
    ]


@pytest.mark.parametrize(
    ("full", "inside", "place"),
    [
        (["m.a.w", "m.a.b"], ["w", "b"], "m.a"),
        (["m.a.w", "m.c.b"], ["w", "b"], None),
        (["m.a.x", "m.a.b"], ["w", "b"], None),
        (["w"], ["w"], None),
    ],
)
def test_place_of(full: list[str], inside: list[str], place: str | None) -> None:
    assert place_of(full, inside, ".") == place
