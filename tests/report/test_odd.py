"""Odd records make a whole page: odd names, odd numbers, odd clocks, too many metrics."""

import json
import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerwise.recorder import History, Recorder
from layerwise.report import _page, write_report
from layerwise.report._run import load_runs
from tests._support.strategies import columns_of_a_run
from tests.report.test_page import drawn, figures, read

STEPS = np.arange(200)
NAMES = [
    "constructor",
    "__proto__",
    "</script>",
    "toString",
    "hasOwnProperty",
    "a" * 400,
    "é\u0000",
]


@pytest.fixture(autouse=True)
def no_plotly(monkeypatch):
    """The page without the two megabytes of Plotly's script."""
    monkeypatch.setattr(_page, "packed_plotly", lambda: "plotly")


def cells(page, heading):
    return [
        text
        for cell, text in zip(page.attributes("td"), page.texts["td"], strict=True)
        if cell.get("data-heading") == heading
    ]


def report(tmp_path, *histories):
    return read(write_report(list(histories), tmp_path / "page.html"))


@pytest.mark.parametrize("value", [1e308, 1.7976931348623157e308, 5e-324, 1e-320, 1e300])
def test_numbers_at_the_ends_of_floats_are_drawn(tmp_path, value):
    batch = {"step": STEPS, "loss": np.full(200, value), "rate": np.full(200, value)}
    for name in ("rates/a", "rates/b", "ratios/a", "ratios/b", "m"):
        batch[name] = np.where(STEPS % 2, value, 1e-3)
    page = report(tmp_path, History(batch, name="ends"))
    assert not [text for text in page.texts["p"] if "can't be drawn:" in text]
    assert drawn(page) == {
        "picture-loss",
        "picture-metric-0",
        "picture-groups-0",
        "picture-ratios-0",
    }
    raw, thick = (trace["y"] for trace in figures(page)[0]["data"])
    assert all(number is not None and abs(number) <= 1e300 for number in [*raw, *thick])
    # An average over equal values is that value, also where their sum is more than a float holds.
    last = cells(page, "loss")[0].split()[0].replace("\u2060", "")
    assert last not in ("NaN", "∞")
    assert math.isclose(float(last), value, rel_tol=1e-3) or value > 1.79e308


def test_names_that_mean_something_to_scripts(tmp_path):
    batch = {"step": STEPS, "loss": 1 / (1 + STEPS)}
    for place, name in enumerate(NAMES * 2):
        batch[f"{('rates/', 'ratios/')[place % 2]}{name}"] = np.full(200, 1.0 + place)
        batch[name] = np.full(200, 1.0)
    page = report(tmp_path, History(batch, name="constructor"), History(batch, name="__proto__"))
    assert len(drawn(page)) == 1 + len(NAMES) + 4
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("<script") == html.count("</script>") == 3
    ratios = next(f for f in figures(page) if f["id"] == "picture-ratios-0")
    assert set(ratios["data"][0]["y"]) == set(NAMES)
    # An axis of names would look them up in an object, and find a function.
    assert ratios["layout"]["yaxis"]["type"] == "linear"
    assert all(
        len(figure["layout"]["yaxis"].get("title", {"text": ""})["text"]) <= 40
        for figure in figures(page)
    )


def test_one_subject_that_fails_is_said_and_the_others_are_drawn(tmp_path, monkeypatch):
    def broken(runs):
        raise OverflowError("too high")

    subjects = [(n, t, broken if n in ("loss", "layers") else d) for n, t, d in _page._SUBJECTS]
    monkeypatch.setattr(_page, "_SUBJECTS", subjects)
    batch = {"step": STEPS, "loss": STEPS * 1.0, "rate": STEPS * 1.0, "rates/a": STEPS * 2.0}
    page = report(tmp_path, History(batch, name="part"))
    assert drawn(page) == {"picture-rate", "picture-groups-0"}
    said = [text for text in page.texts["p"] if "can't be drawn: OverflowError: too high" in text]
    assert [text.split()[0] for text in said] == ["Rates", "Loss"]


def test_hundreds_of_metrics_are_a_table(tmp_path):
    batch = {"step": STEPS, "loss": 1 / (1 + STEPS)}
    for number in range(300):
        batch[f"metric {number}"] = np.linspace(number, number + 1, 200)
    page = report(tmp_path, History(batch, name="many"))
    assert len(drawn(page)) == 25
    assert any("And 294 more metrics" in text for text in page.texts["p"])
    headings = [a["data-heading"] for a in page.attributes("td") if "data-heading" in a]
    assert len(headings) == 3 + 1 + 6
    for number in (24, 150, 299):
        assert f"metric {number}" in page.texts["td"]
    assert any("276 more rows" in text for text in page.texts["summary"])


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (np.where(STEPS < 100, STEPS, STEPS - 3600.0), "went back by 59 min 59 s"),
        (STEPS - 50.0, "went back by 50 s"),
        (np.where(STEPS == 150, 0.0, STEPS), "went back by 2 min 29 s"),
        (STEPS * 1.0, ""),
        (np.where(STEPS == 150, 148.5, STEPS), ""),
        (np.where(STEPS == 150, math.nan, STEPS), ""),
    ],
)
def test_a_clock_that_went_back_is_said(tmp_path, times, said):
    page = report(tmp_path, History({"step": STEPS, "loss": STEPS * 1.0, "time": times}, name="r"))
    found = [text for text in page.texts["p"] if "clock" in text]
    assert bool(found) == bool(said)
    assert said in " ".join(found)
    assert not cells(page, "duration")[0].startswith("-")
    assert ("a clock that went back" in cells(page, "duration")[0]) == bool(said)


def averages(page, name):
    """The thick line of a picture, and its last value."""
    figure = next(f for f in figures(page) if f["id"] == name)
    return figure["data"]


def last_and_best(cell):
    return [
        float(text.replace("\u2060", "")) for text in re.findall(r"[\d.]+(?:e\S+?\d+)?", cell)[:2]
    ]


def test_the_table_says_what_the_chart_shows(tmp_path):
    rng = np.random.default_rng(0)
    loss = 1 + rng.random(200)
    batch = {"step": STEPS, "epoch": STEPS // 100, "loss": loss, "m": rng.random(200)}
    # An epoch's own mean is another quantity, and no picture has it where there are batches.
    epoch = {"epoch": [0, 1], "step": [100, 200], "loss": [9.0, 8.0], "m": [7.0, 6.0]}
    epoch |= {"val_loss": [3.0, 4.0], "only": [0.25, 0.5]}
    page = report(tmp_path, History(batch, epoch, name="both"))
    for column, picture in (("loss", "picture-loss"), ("m", "picture-metric-0")):
        thick = averages(page, picture)[1]["y"]
        last, best = last_and_best(cells(page, column)[0])
        assert last == pytest.approx(thick[-1], rel=1e-3)
        assert best == pytest.approx(min(thick) if column == "loss" else max(thick), rel=1e-2)
    circles = averages(page, "picture-loss")[2]["y"]
    assert last_and_best(cells(page, "val_loss")[0]) == [circles[-1], min(circles)] == [4.0, 3.0]
    only = averages(page, "picture-metric-1")[0]["y"]
    assert last_and_best(cells(page, "only")[0]) == [only[-1], max(only)] == [0.5, 0.5]


def test_a_validation_among_the_batches_is_drawn(tmp_path):
    values = np.where(STEPS % 50 == 49, 1 / (1 + STEPS), np.nan)
    batch = {"step": STEPS, "loss": 1.0 + STEPS, "val_loss": values}
    page = report(tmp_path, History(batch, name="middle"))
    assert len(averages(page, "picture-loss")) == 3
    assert last_and_best(cells(page, "val_loss")[0])[0] == pytest.approx(1 / 200, rel=1e-3)


def test_a_name_that_is_no_text(tmp_path):
    run = tmp_path / "bad\udcff"
    with Recorder(run) as recorder:
        recorder.log(step=0, loss=1.0, metrics={"m\ud800": 1.0})
        recorder.log(step=1, loss=1.0, metrics={"m\ud800": 1.0})
    page = report(tmp_path, run)
    assert "bad\\udcff" in page.texts["h1"][0]
    assert drawn(page) == {"picture-loss", "picture-metric-0"}


def test_a_page_that_can_not_be_written_leaves_no_part(tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_report(History({"step": [0], "loss": [1.0]}), tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(columns_of_a_run(), min_size=1, max_size=3))
def test_any_columns_make_a_page(runs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = _page.page(load_runs([History(columns, name="r") for columns in runs]))
    assert "can't be drawn:" not in page
    start = page.find('id="figures">')
    if start >= 0:
        text = page[start + len('id="figures">') :].partition("</script>")[0]
        assert json.loads(text, parse_constant=lambda _: 1 / 0)
