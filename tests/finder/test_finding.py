"""The result: plain data and back, words, and nothing that can be changed."""

import dataclasses
import json
import math

import pytest

from layerwise.errors import ConfigError, FinderError
from layerwise.finder import LRFinding, Probe, QuadraticTrainer, search

FOUND = search(QuadraticTrainer(), range(1000), progress=False, group_factors={"head": 2.0})
BROKEN = LRFinding(
    rates=(0.1, 1.0),
    losses=(1.0, math.nan),
    smoothed=(1.0, 1.0),
    stopped="diverged",
    suggestion=None,
    method="probe",
    reason="Nothing was learned.",
    candidates={"valley": None},
    probes=(Probe(0.1, math.inf, 3),),
    updates=5,
)


def test_through_json_and_back():
    text = json.dumps(FOUND.to_config(), allow_nan=False)
    assert LRFinding.from_config(json.loads(text)) == FOUND


def test_what_is_not_finite_survives_strict_json():
    text = json.dumps(BROKEN.to_config(), allow_nan=False)
    back = LRFinding.from_config(json.loads(text))
    assert math.isnan(back.losses[1])
    assert back.probes == BROKEN.probes
    assert back.suggestion is None


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "no.* config of a finding"),
        ({"layerwise": "schedule"}, "no.* config of a finding"),
        (FOUND.to_config() | {"version": 99}, "version 99"),
        ({"layerwise": "finding", "version": 2}, "damaged"),
        (FOUND.to_config() | {"rates": "ab"}, "damaged"),
    ],
)
def test_a_config_of_something_else(config, said):
    with pytest.raises(ConfigError, match=said):
        LRFinding.from_config(config)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rates": [0.1]},
        {"suggestion": "x"},
        {"suggestion": []},
        {"reason": None},
        {"schedule": 3},
        {"stopped": "tired"},
        {"method": None},
        {"updates": -1},
        {"candidates": [1.0]},
        {"candidates": {"valley": "low"}},
        {"group_factors": {"head": None}},
        {"probes": [[0.1, 1.0, "many"]]},
    ],
    ids=str,
)
def test_what_is_damaged_is_refused(wrong):
    with pytest.raises(ConfigError):
        LRFinding.from_config(FOUND.to_config() | wrong)


def test_it_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FOUND.suggestion = 3.0
    with pytest.raises(TypeError):
        FOUND.candidates["valley"] = 3.0
    with pytest.raises(TypeError):
        hash(FOUND)


def test_the_callers_mapping_stays_his():
    mine = {"head": 1.0}
    found = dataclasses.replace(FOUND, group_factors=mine)
    mine["head"] = 9.0
    assert found.group_factors["head"] == 1.0


def test_its_repr_fits_a_line_and_says_the_suggestion():
    assert len(repr(FOUND)) < 120
    assert f"suggestion={FOUND.suggestion:.3g}" in repr(FOUND)
    assert "suggestion=None" in repr(BROKEN)


def test_printed_it_says_why():
    assert FOUND.reason in str(FOUND)
    assert "valley" in str(FOUND)
    assert str(BROKEN).startswith("No suggestion (probe). Nothing was learned.")


def test_a_rate_in_any_case():
    assert FOUND.rate_or(123.0) == FOUND.rate_or() == FOUND.suggestion
    assert BROKEN.rate_or(1e-3) == 1e-3


def test_no_rate_at_all_is_an_error_with_the_reason():
    with pytest.raises(FinderError, match=r"suggests no rate: Nothing was learned\. .*rate_or\("):
        BROKEN.rate_or()


@pytest.mark.parametrize("default", [0, -1.0, math.nan, "0.1", True])
@pytest.mark.parametrize("finding", [FOUND, BROKEN])
def test_a_default_that_is_no_rate_is_an_error(finding, default):
    with pytest.raises(FinderError, match="default must be a finite number above 0"):
        finding.rate_or(default)
