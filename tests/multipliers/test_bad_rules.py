"""Rules that every adapter refuses, refused here by the noun itself."""

from typing import Any

import pytest

from layerwise.errors import LayerwiseError
from layerwise.multipliers import Parameter, RuleSpec
from tests._support import bad_rules

MODEL = [Parameter(f"{layer}/{kind}") for layer in ("low", "mid") for kind in ("kernel", "bias")]


@pytest.mark.parametrize(
    ("arguments", "error", "message"), bad_rules.at_once("low") + bad_rules.levels("low")
)
def test_what_no_model_can_follow_is_refused_at_once(
    arguments: dict[str, Any], error: type[LayerwiseError], message: str
) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        RuleSpec(**arguments)


@pytest.mark.parametrize(("arguments", "error", "message"), bad_rules.with_a_model("low"))
def test_what_this_model_can_not_follow_is_refused_with_it(
    arguments: dict[str, Any], error: type[LayerwiseError], message: str
) -> None:
    spec = RuleSpec(**arguments)
    with pytest.raises(error, match=f"(?s){message}"):
        spec.resolve(MODEL)
