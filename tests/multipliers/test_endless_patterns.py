"""Regular expressions that `re` would try for ever come to an end, with the answer that it gives.

The oracle is `re` itself, on names so short that it comes to an end.
"""

import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwise.errors import MultiplierError
from layerwise.multipliers import Parameter, resolve
from layerwise.multipliers._matching import match
from layerwise.multipliers._matching.match import find_matches
from layerwise.multipliers._matching.pattern import Structure
from layerwise.multipliers._matching.regex import Program, Search, Work

ENDLESS = [
    (r"(a+)+$", "a" * 60 + "!", False),
    (r"(a|a)*!b", "a" * 60 + "!", False),
    (r"(a|aa)+$", "a" * 60 + "!", False),
    (r"(.*)*x", "a" * 100, False),
    (r"^(\w+\d?)*$", "a" * 70 + "!", False),
    (r"(x+x+)+y", "x" * 80, False),
    (r"(x+x+)+y", "x" * 80 + "y", True),
    (r"(a?){50}a{50}", "a" * 49, False),
    (r"(a?){50}a{50}", "a" * 50, True),
    ("a?" * 40 + "a" * 40, "a" * 39, False),
    (".*" * 14 + "!", "a" * 100, False),
    (r"(?i)^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 60 + "!!", False),
    (r"^((block|layer)_?\d*/?)+kernel$", "block_1/layer_2/" * 9 + "bias", False),
    (r"^((block|layer)_?\d*/?)+kernel$", "block_1/layer_2/" * 9 + "kernel", True),
    (r"(?s:(a|b|.)*)\Zc", "ab" * 40, False),
    (r"(?:(?:a+)+)+b", "a" * 10_000, False),
]


@pytest.mark.parametrize(("key", "name", "found"), ENDLESS)
def test_a_pattern_without_end_has_an_answer(key, name, found):
    assert (find_matches([key], [name], "regex").best == ((key,),)) is found


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (r"(a+)+\1b", "a backreference"),
        (r"(?P<x>a+)+(?P=x)b", "a backreference"),
        (r"(?=(a+)+b)", "a lookaround"),
        (r"(a+)+(?<!c)b", "a lookaround"),
        (r"(?x) (a+)+ b", "the flag x"),
        (r"(a)?(?(1)(a+)+b|c)", "a condition"),
        (r"(?>(a+)+)b", "an atomic group"),
        (r"(a+)++b", "a possessive quantifier"),
    ],
)
def test_what_only_re_can_do_is_refused_where_it_may_not_end(key, what):
    with pytest.raises(MultiplierError, match=f"may never end, and it has {what}.*glob"):
        find_matches([key], ["a" * 60], "regex")
    # On a name so short that it does end, it is what `re` says.
    assert find_matches([key], ["aaaab"], "regex").hit == (
        {key} if re.search(key, "aaaab") else set()
    )


def test_the_steps_of_all_patterns_together_are_bounded():
    work = Work(steps=20_000)
    search = Search("(a|a)*b", re.compile("(a|a)*b"), work)
    with pytest.raises(MultiplierError, match="all patterns took more than"):
        any(search.found_in(f"{'a' * 100}{i}") for i in range(50))
    assert -2_000 < work.steps <= 0


def test_a_repetition_of_repetitions_of_thousands_is_refused():
    with pytest.raises(MultiplierError, match="its repetitions are too many"):
        find_matches(["((a{1,5000}){1,5000}){1,10}b"], ["a" * 60], "regex")


def test_ordinary_patterns_are_left_to_re(monkeypatch):
    def run(*arguments):
        raise AssertionError("followed all at once")

    monkeypatch.setattr(Program, "run", run)
    names = [f"model.encoder.layer.{i}.attention.self.query.weight" for i in range(50)]
    keys = [r"layer\.\d+\.(attention|mlp)\..*weight$", r"(query|key)\.(weight|bias)", r"^model.*q"]
    assert find_matches(keys, names, "regex").hit == set(keys)


letters = st.sampled_from(
    ["a", "b", r"\.", "/", "[ab]", "[^a/]", "[]a]", r"[a\]]", ".", r"\d", r"\w", r"\b", r"\B"]
)
letters |= st.sampled_from(
    ["^", "$", r"\A", r"\Z", r"\x61", r"\141", "(?i:A)", "(?#note)a", r"\u0061", "(?-i:b)", "{"]
)
repeats = st.sampled_from(
    ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{,2}", "{2,}", "{1,}?", "{,}"]
)
patterns = st.recursive(
    letters,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.builds(lambda part, sign: f"(?:{part}){sign}", inner, repeats),
    ),
    max_leaves=6,
)


@settings(max_examples=400)
@given(patterns, st.sampled_from(["", "(?i)", "(?m)", "(?s)", "(?a)"]),
       st.lists(st.text(alphabet="abAB./1\n{", max_size=8), min_size=1, max_size=4))  # fmt: skip
def test_all_ways_at_once_find_what_re_finds(pattern, flags, names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        compiled = re.compile(flags + pattern)
        structure = Structure(compiled)
        program = Program()
        program.add(structure.root)
        assert structure.at == len(flags + pattern)
        for name in names:
            assert program.run(name, 10**9)[0] is (compiled.search(name) is not None)


# -- many rules, and large ones -------------------------------------------------------------------


class Asked(str):
    """A name that counts how often a key is looked for in it."""

    __slots__ = ()
    count = 0

    def __contains__(self, key):
        Asked.count += 1
        return super().__contains__(key)


def test_a_hundred_thousand_rules_in_substring_look_at_pieces_of_names():
    keys = [f"block_{i}/" for i in range(100_000)]
    names = [Asked(f"model/block_{i}/kernel") for i in range(0, 100_000, 1_000)]
    Asked.count = 0
    found = find_matches(keys, names, "substring")
    assert Asked.count == 0
    assert find_matches(keys[:3], names, "substring").hit == {"block_0/"}
    assert Asked.count == 3 * len(names)
    assert found.best == tuple((name[6:-6],) for name in names)
    assert len(found.hit) == len(names)


@pytest.mark.parametrize("mode", ["glob", "regex"])
def test_more_patterns_than_can_be_tried_are_an_error(mode, monkeypatch):
    with pytest.raises(MultiplierError, match=r"at most 10,000 rules, got 1,000,000.*prefix"):
        match.check_keys(range(1_000_000), mode)
    monkeypatch.setattr(match, "MOST_TRIES", 100)
    with pytest.raises(MultiplierError, match=r"11 keys on 10 names are more than 100 tries"):
        find_matches([f"a{i}" for i in range(11)], [f"b{i}" for i in range(10)], mode)
    with pytest.raises(MultiplierError, match="10,001 characters"):
        find_matches(["a" * 10_001], ["b"], mode)


@pytest.mark.parametrize("key", ["(" * 3000 + ")" * 3000, "a{9999999999999999999999}", "(?<=a*)b"])
def test_what_re_cannot_compile_is_our_error(key):
    with pytest.raises(MultiplierError, match="is no regular expression"):
        resolve([Parameter("a")], {key: 0.5}, match="regex")


def test_globs_of_many_stars_come_to_an_end():
    assert find_matches(["*a" * 40 + "*b"], ["a" * 5_000], "glob").hit == frozenset()
