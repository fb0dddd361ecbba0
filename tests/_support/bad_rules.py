"""Rules that nothing can follow: every adapter refuses each of them with the same error.

``at_once`` holds what is wrong whatever the model is, ``with_a_model`` what is wrong only for a
model that has one layer of the given name, and others whose names have nothing in common with it.

A test parametrizes over one of them, hands the arguments to what it tests, and matches the message
with ``(?s)``, since an adapter may add a sentence:

    @pytest.mark.parametrize(("arguments", "error", "message"), at_once("low"))
    def test_bad_rules(arguments, error, message):
        with pytest.raises(error, match=f"(?s){message}"):
            with_multipliers(optax.adam(0.1), **arguments)
"""

import re
from typing import Any

import numpy as np
import pytest

from layerwise import cosine, gradual_unfreezing, layer_decay, override
from layerwise.errors import (
    AmbiguousRuleError,
    LayerwiseError,
    MultiplierError,
    ScheduleError,
    UnmatchedRuleError,
)

NAN, INF = float("nan"), float("inf")
VALUES = [-0.5, NAN, INF, True, "fast", None, np.ones(3), [0.5], {"kernel": 0.5}, float]
MODES = "'prefix', 'substring', 'glob', 'regex'"

Case = tuple[dict[str, Any], type[LayerwiseError], str]


def negative(step: Any) -> float:
    return -1.0


def undefined(step: Any) -> float:
    return NAN


def words(step: Any) -> str:
    return "fast"


def several(step: Any) -> Any:
    return np.ones(3)


def stepless() -> float:
    return 1.0


def at_once(layer: str, *, schedule: bool = True, arrays: bool = False) -> list[Any]:
    """Arguments that are refused before there is a model.

    Args:
        layer: The name of a layer.
        schedule: Whether what is tested takes ``schedule=``.
        arrays: Whether what is tested takes arrays as multipliers.
    """
    cases: list[Case] = [
        (
            {"rules": {layer: value}},
            MultiplierError,
            re.escape(f"The rule {layer!r} has the multiplier {value!r}; it must be a finite"),
        )
        for value in VALUES
        if not (arrays and isinstance(value, np.ndarray))
    ]
    cases += [
        ({"rules": 0.5}, MultiplierError, r"Rules must be .*0\.5\. For one factor"),
        ({"rules": max}, MultiplierError, r"Rules must be .*max.* belongs to a key"),
        ({"rules": layer}, MultiplierError, f"Rules must be .*'{layer}'"),
        ({"rules": {1: 0.5}}, MultiplierError, r"key 1 of a rule must be a string"),
        ({"rules": {"": 0.5}}, MultiplierError, r"empty key ''"),
        ({"rules": {"(": 1.0}, "match": "regex"}, MultiplierError, r"'\(' is no regular"),
        ({"match": "fuzzy"}, MultiplierError, f"match must be one of {MODES}, got 'fuzzy'"),
        (
            {"rules": [{layer: 0.5}, {layer: 0.25}]},
            AmbiguousRuleError,
            rf"'{layer}' is given twice, as 0\.5 and as 0\.25",
        ),
        (
            {"rules": [{layer: 0.5}, {layer: override(0.5)}]},
            AmbiguousRuleError,
            rf"'{layer}' is given twice, as 0\.5 and as override\(0\.5\)",
        ),
    ]
    if schedule:
        cases += [
            ({"schedule": value}, ScheduleError, f"schedule={value!r} must be .*constant")
            for value in (0.5, "cosine")
        ]
    return [pytest.param(*case, id=_named(case)) for case in cases]


def levels(layer: str) -> list[Any]:
    """Levels that are refused before there is a model, by whatever takes ``layers=``."""
    cases: list[Case] = [
        ({"layers": layer}, MultiplierError, f"layers='{layer}' must be a list of levels"),
        ({"layers": [layer, [layer]]}, MultiplierError, f"'{layer}' in two levels"),
        ({"layers": [[layer, 3]]}, MultiplierError, r"must hold names of layers, got 3"),
        ({"layers": [3]}, MultiplierError, r"must hold names of layers, got 3"),
        ({"layers": [""]}, MultiplierError, r"must hold names of layers, got ''"),
    ]
    return [pytest.param(*case, id=_named(case)) for case in cases]


def with_a_model(layer: str) -> list[Any]:
    """Arguments that are refused when they meet a model with that layer, of two letters or more."""
    start, end = layer[:-1], layer[1:]
    typo = f"{start}#"
    cases: list[Case] = [
        (
            {"rules": {typo: 0.5}},
            UnmatchedRuleError,
            f"A rule matches no parameter.*'{typo}': .*{layer}.*strict=False",
        ),
        (
            {"rules": layer_decay(0.5), "layers": [typo, layer]},
            UnmatchedRuleError,
            f"A name in layers= matches no parameter.*'{typo}': .*{layer}.*strict=False",
        ),
        (
            {"rules": layer_decay(0.5, layers=[layer])},
            UnmatchedRuleError,
            "in no level of layers= and would train at the full rate: .*strict=False",
        ),
        (
            {"rules": {start: 0.5, end: 0.25}, "match": "substring"},
            AmbiguousRuleError,
            f"'{start}' and '{end}' match .*{layer}.* equally well",
        ),
        (
            {"rules": gradual_unfreezing(5, groups=99, layers=[layer]), "strict": False},
            MultiplierError,
            r"groups=99 must be at most",
        ),
        ({"rules": {layer: negative}}, MultiplierError, rf"'{layer}' is -1\.0 at step 0"),
        ({"rules": {layer: undefined}}, MultiplierError, f"'{layer}' is nan at step 0"),
        ({"rules": {layer: words}}, MultiplierError, f"'{layer}'.*step"),
        ({"rules": {layer: several}}, MultiplierError, f"'{layer}'.*step"),
        ({"rules": {layer: stepless}}, MultiplierError, f"'{layer}' failed.*argument"),
        ({"rules": {layer: 0.5 * cosine(5), "#": 1}}, UnmatchedRuleError, r"'#'"),
    ]
    return [pytest.param(*case, id=_named(case)) for case in cases]


def _named(case: Case) -> str:
    """An id without the address of a function, so that it is the same in every process."""
    return re.sub(r" at 0x\w+", "", ", ".join(f"{key}={value}" for key, value in case[0].items()))
