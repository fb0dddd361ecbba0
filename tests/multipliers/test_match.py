import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.errors import MultiplierError
from layerwise.multipliers._matching.match import MODES, find_matches
from tests._support import rules as own


def winners(keys, names, mode, separator="/"):
    return [best[0] if best else None for best in find_matches(keys, names, mode, separator).best]


@pytest.mark.parametrize(
    ("keys", "names", "expected"),
    [
        # Seed 000: the longest prefix, as plain text.
        (
            ["Dense", "Dense-1"],
            ["Dense/kernel", "Dense-1/kernel", "Dense-12/kernel", "Output/kernel"],
            ["Dense", "Dense-1", "Dense-1", None],
        ),
        # A key with the separator at its end means that layer only.
        (["block1/"], ["block1/kernel", "block10/kernel"], ["block1/", None]),
        (["block1"], ["block1/kernel", "block10/kernel"], ["block1", "block1"]),
        # The whole name is a prefix of itself.
        (["a/kernel"], ["a/kernel", "a"], ["a/kernel", None]),
        (["b", "a", "ab"], ["abc", "bc", "ac", "c"], ["ab", "b", "a", None]),
        ([], ["a"], [None]),
        (["a"], [], []),
        # Outside of ASCII, too.
        (["é", "éa"], ["éa/k", "é/k", "e/k"], ["éa", "é", None]),
        (["\U0010ffff"], ["\U0010ffff\U0010ffff", "a"], ["\U0010ffff", None]),
    ],
)
def test_prefix_takes_the_longest_key(keys, names, expected):
    assert winners(keys, names, "prefix") == expected


@pytest.mark.parametrize(
    ("keys", "names", "expected"),
    [
        (["c1", "d1"], ["m/c1/kernel", "m/d1/bias", "m/e/bias"], ["c1", "d1", None]),
        (["b", "bcd", "ab"], ["abcd", "ab", "b"], ["bcd", "ab", "b"]),
    ],
)
def test_substring_takes_the_longest_key(keys, names, expected):
    assert winners(keys, names, "substring") == expected


@pytest.mark.parametrize(
    ("keys", "names", "expected"),
    [
        # The whole name; * takes separators.
        (["*/bias"], ["a/bias", "a/b/bias", "bias", "a/bias2"], ["*/bias", "*/bias", None, None]),
        # A layer that the parameter lies in.
        (["block_?"], ["block_1/conv/kernel", "block_12/kernel"], ["block_?", None]),
        (["block_[12]/conv"], ["block_2/conv/kernel"], ["block_[12]/conv"]),
        (["conv"], ["conv/kernel", "conv_1/kernel"], ["conv", None]),
        (["/block_?", "*_2"], ["/block_1/kernel", "/block_2/a/b"], ["/block_?", "/block_?"]),
        # Case counts.
        (["dense*"], ["Dense/kernel"], [None]),
        # The first in the order written wins, not the longest.
        (["*", "a/*"], ["a/b"], ["*"]),
        (["a/*", "*"], ["a/b", "c"], ["a/*", "*"]),
    ],
)
def test_glob(keys, names, expected):
    assert winners(keys, names, "glob") == expected


def test_glob_knows_layers_by_the_separator():
    assert winners(["layer.?"], ["layer.1.weight", "layer.12.weight"], "glob", ".") == [
        "layer.?",
        None,
    ]


@pytest.mark.parametrize(
    ("keys", "names", "expected"),
    [
        ([r"layer\.\d+\."], ["encoder.layer.12.weight"], [r"layer\.\d+\."]),
        (["^layer"], ["encoder.layer.1.weight"], [None]),
        (["bias$", "conv"], ["conv.bias", "conv.weight"], ["bias$", "conv"]),
        (["conv", "bias$"], ["conv.bias"], ["conv"]),
    ],
)
def test_regex(keys, names, expected):
    assert winners(keys, names, "regex", ".") == expected


@given(keys=st.lists(own.keys, max_size=12, unique=True), names=st.lists(own.names, max_size=12))
def test_prefix_equals_looking_at_every_key(keys, names):
    found = find_matches(keys, names, "prefix")
    for name, best in zip(names, found.best, strict=True):
        matching = [key for key in keys if name.startswith(key)]
        assert best == ((max(matching, key=len),) if matching else ())
    assert found.hit == {key for key in keys if any(name.startswith(key) for name in names)}


@given(keys=st.lists(own.keys, max_size=12, unique=True), names=st.lists(own.names, max_size=12))
def test_substring_equals_looking_at_every_key(keys, names):
    found = find_matches(keys, names, "substring")
    for name, best in zip(names, found.best, strict=True):
        matching = [key for key in keys if key in name]
        longest = max(map(len, matching), default=0)
        assert set(best) == {key for key in matching if len(key) == longest}
    assert found.hit == {key for key in keys if any(key in name for name in names)}


@given(keys=st.lists(own.keys, max_size=8, unique=True), names=st.lists(own.names, max_size=8))
def test_plain_text_as_a_regex_takes_the_first_contained_key(keys, names):
    found = find_matches([re.escape(key) for key in keys], names, "regex")
    for name, best in zip(names, found.best, strict=True):
        first = next((re.escape(key) for key in keys if key in name), None)
        assert best == (() if first is None else (first,))
    assert found.hit == {re.escape(key) for key in keys if any(key in name for name in names)}


class Counted(str):
    """Text that counts how often it is asked what it begins with."""

    __slots__ = ()
    asked = 0

    def startswith(self, *arguments):
        Counted.asked += 1
        return super().startswith(*arguments)


@pytest.mark.parametrize(
    "keys",
    [
        [f"block_{i}" for i in range(300)],
        # A chain: each key is a prefix of the next, and hardly any name gets to its end.
        ["a" * i for i in range(1, 301)],
        [f"{'a' * (i % 150)}{'bc'[i % 2]}" for i in range(150)] + ["a" * i for i in range(1, 301)],
    ],
)
def test_prefix_work_grows_with_names_plus_keys(keys):
    rng = np.random.default_rng(0)
    names = ["a" * int(n) + "c/kernel" for n in rng.integers(1, 300, 2000)]
    names += [f"block_{n}/kernel" for n in rng.integers(0, 300, 2000)]
    Counted.asked = 0
    found = find_matches(list(map(Counted, keys)), list(map(Counted, names)), "prefix")
    assert len(found.hit) > 200
    # One look for each name and key, and one more for each key that is left behind.
    assert 0 < Counted.asked <= len(names) + 2 * len(keys)


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_key_is_refused(mode):
    with pytest.raises(MultiplierError, match="empty key ''"):
        find_matches([""], ["a"], mode)


def test_an_invalid_regex_is_refused_with_the_reason():
    with pytest.raises(MultiplierError, match=r"The key 'a\(' .*unterminated subpattern"):
        find_matches(["a("], ["a"], "regex")
