"""What a notebook shows of a plan, a schedule, a finding and a run."""

import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import layerwise
from layerwise import constant, cosine, cyclic, from_function, linear, warmup
from layerwise._html._markup import curve
from layerwise.finder import QuadraticTrainer, search
from layerwise.multipliers import Parameter, resolve
from layerwise.recorder import History
from tests._support.rates import FINDINGS

EVIL = '<img src=x onerror="1">&'


def tree(value):
    """The HTML of a value, which is well-formed XML: every name in it was escaped."""
    return ET.fromstring(value._repr_html_())


def text(value):
    return " ".join(tree(value).itertext())


def points(svg):
    """The points of the curve, which is the last path."""
    path = svg.findall(".//path")[-1].get("d")
    return np.array(
        [[float(n) for n in re.findall(r"[-\d.]+", p)] for p in re.split("[ML]", path)[1:]]
    )


def test_a_plan_is_a_table():
    names = [
        Parameter(f"{layer}/{w}", (4,)) for layer in ("body", EVIL) for w in ("kernel", "bias")
    ]
    plan = resolve(names, {"body": 0}, learning_rate=1e-3)
    table = tree(plan)
    rows = table.findall(".//tbody/tr")
    assert [row[0].text for row in rows] == [name.name for name in names]
    assert [row.get("style") is not None for row in rows] == [True, True, False, False]
    assert "2 frozen" in text(plan)


def test_a_large_plan_is_folded():
    names = [Parameter(f"block_{i}/{w}") for i in range(100) for w in ("kernel", "bias")]
    plan = resolve(names, {f"block_{i}/": 0.9**i for i in range(100)})
    assert 1 < len(tree(plan).findall(".//tbody/tr")) <= 41
    assert "more parameters" in text(plan)


def test_a_plan_without_rich_is_its_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.delitem(sys.modules, "layerwise._plan_table", raising=False)
    monkeypatch.delattr(layerwise, "_plan_table", raising=False)
    html = tree(resolve([Parameter("head/kernel")]))
    assert html.tag == "pre"
    assert 'pip install "layerwise[cli]"' in html.text


@pytest.mark.parametrize(
    "schedule",
    [
        warmup(500) >> cosine(9_500),
        cyclic(100, low=0.1),
        constant(),
        cosine(10).by("tokens"),
        from_function(lambda step: 1.0 / (1 + step)),
        1e300 * linear(10),
    ],
    ids=str,
)
def test_a_schedule_is_its_expression_and_its_curve(schedule):
    html = tree(schedule)
    assert repr(schedule).split("(")[0] in html.find(".//b").text
    drawn = points(html.find("svg"))
    assert (np.diff(drawn[:, 0]) > 0).all()
    counts = schedule.counters
    length = schedule.length or 1_000
    ends = [
        schedule(0, **dict.fromkeys(counts, end)) if counts else schedule(end)
        for end in (0, length)
    ]
    if ends[0] > ends[1]:
        assert drawn[0, 1] < drawn[-1, 1]  # y points down
    if ends[0] == ends[1]:
        assert drawn[0, 1] == drawn[-1, 1]


def test_a_cosine_is_drawn_where_it_is():
    drawn = points(tree(cosine(100)).find("svg"))
    steps = (drawn[:, 0] - drawn[0, 0]) / np.ptp(drawn[:, 0])
    factors = (drawn[:, 1].max() - drawn[:, 1]) / np.ptp(drawn[:, 1])
    np.testing.assert_allclose(factors, (1 + np.cos(np.pi * steps)) / 2, atol=2e-3)


def test_a_schedule_that_no_axis_shows_is_its_expression():
    both = cosine(10).by("tokens") * cosine(10).by("images")
    assert tree(both).find(".//svg") is None
    assert "tokens" in text(both)


def test_a_function_that_raises_is_said():
    def broken(step):
        raise ValueError(f"not for {EVIL}")

    assert f"ValueError: not for {EVIL}" in text(from_function(broken))


@pytest.mark.parametrize("curvature", [1.0, 0.0])
def test_a_finding_is_its_answer_and_its_curve(curvature):
    found = search(QuadraticTrainer(curvatures=(curvature,)), range(100), progress=False)
    html = tree(found)
    assert ("Suggested rate" in text(found)) == (found.suggestion is not None)
    assert found.reason[:60] in text(found)
    lines = html.findall(".//svg/path[@stroke-dasharray]")
    assert len(lines) == (found.suggestion is not None)
    assert len(html.findall(".//tbody/tr")) == len(found.candidates)


def test_a_search_that_blows_up_leaves_room_for_the_rest():
    found = search(QuadraticTrainer(), range(100), method="sweep", progress=False)
    assert max(found.smoothed) > 3 * found.smoothed[0]
    svg = tree(found).find("svg")
    shown = points(svg)
    assert shown[0, 1] < 20  # the first loss is near the top, and the lowest at the bottom
    assert shown[:, 1].max() == 88
    # The rates of the whole search have a place, also that of the suggestion.
    [mark] = svg.findall("path[@stroke-dasharray]")
    at = float(re.match(r"M([\d.]+)", mark.get("d"))[1])
    ends = np.log(found.rates[0]), np.log(found.rates[-1])
    share = (np.log(found.suggestion) - ends[0]) / (ends[1] - ends[0])
    assert at == pytest.approx(8 + share * 304, abs=0.1)


@pytest.mark.parametrize("name", FINDINGS)
def test_rates_that_were_found_are_a_table(name):
    found = FINDINGS[name]
    assert len(tree(found).findall(".//tbody/tr")) == len(found.bands)
    assert found.reason[:60] in text(found)


@pytest.mark.parametrize(
    ("batch", "epoch", "curves", "rows"),
    [
        ({}, {}, 0, 0),
        ({"step": [0, 1], "loss": [2.0, 1.0], "rate": [0.1, 0.1]}, {}, 1, 2),
        ({}, {"epoch": [0, 1], "loss": [2.0, 1.0], "val_loss": [3.0, np.nan]}, 1, 2),
        ({"step": [0, 1], "loss": [np.nan, np.inf]}, {}, 0, 0),
        ({EVIL: [1.0]}, {}, 0, 1),
    ],
)
def test_a_run_is_its_loss_and_its_last_values(batch, epoch, curves, rows):
    run = History(batch, epoch, name=f"run {EVIL}")
    html = tree(run)
    assert len(html.findall(".//svg")) == curves
    assert len(html.findall(".//tbody/tr")) == rows
    assert f"run {EVIL}" in text(run)


@pytest.mark.parametrize("low", [5e-324, 1e-300, 1.0])
def test_any_numbers_have_a_place(low):
    x, y = np.array([low, 1e308, 3.0]), np.array([-1e308, 1e308, np.nan])
    for log in ("", "x"):
        drawn = points(
            ET.fromstring(f"<p>{curve(np.sort(x), y, label='a', log=log)}</p>").find("svg")
        )
        assert len(drawn) == 2
        assert ((drawn >= 0) & (drawn <= 320)).all()
