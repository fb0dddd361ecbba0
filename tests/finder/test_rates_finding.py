"""RatesFinding: its config, and what is no config of one."""

import json
from typing import Any

import pytest

from layerwise.errors import ConfigError
from layerwise.finder import LRFinding, RatesFinding
from tests._support.rates import found

PLAIN = found().to_config()


def test_it_comes_back_from_json() -> None:
    assert RatesFinding.from_config(json.loads(json.dumps(PLAIN))) == found()


@pytest.mark.parametrize("kind", [RatesFinding, LRFinding])
@pytest.mark.parametrize("config", [None, "abc", [1], {}, {"layerwise": "other"}])
def test_what_is_no_config_is_refused(kind: Any, config: Any) -> None:
    with pytest.raises(ConfigError, match=r"^This is not the config of a finding"):
        kind.from_config(config)


@pytest.mark.parametrize(
    "wrong",
    [
        {"updates": "many"},
        {"ended": 5},
        {"learning_rate": "x"},
        {"single_rate": [1.0]},
        {"bands": [{**PLAIN["bands"][0], "parameters": "abc"}]},
        {"bands": [{**PLAIN["bands"][0], "name": None}]},
        {"bands": [{**PLAIN["bands"][0], "low": None}]},
        {"bands": [{**PLAIN["bands"][0], "slope": "x"}]},
        {"probes": [{}]},
        {"probes": [{**PLAIN["probes"][0], "slopes": ["x"]}]},
        {"probes": [{**PLAIN["probes"][0], "rate": None}]},
        {"rules": {"body": None}},
        {"rules": ["body"]},
        {"reason": None},
        {"training": 250},
        {"version": 99},
    ],
)
def test_what_is_damaged_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RatesFinding.from_config({**PLAIN, **wrong})


def test_a_wrong_number_is_told_once() -> None:
    with pytest.raises(ConfigError, match=r"^updates must be a whole number of at least 0, got -1"):
        RatesFinding.from_config({**PLAIN, "updates": -1})
