"""What is recorded every few steps only: a row without a value is none that went wrong."""

import math

import numpy as np
import pytest

from layerwise.recorder import History, Recorder
from layerwise.report import _page, write_report
from layerwise.report._about import verdict
from layerwise.report._facts import remarks
from layerwise.report._run import load_runs
from tests.report.test_page import drawn, figures, read


@pytest.fixture(autouse=True)
def no_plotly(monkeypatch):
    """The page without the two megabytes of Plotly's script."""
    monkeypatch.setattr(_page, "packed_plotly", lambda: "plotly")


def record(folder, rows):
    with Recorder(folder) as recorder:
        recorder.log_many(rows)
    return folder


def every_tenth(count=60):
    """Losses of all steps; all else at every tenth one."""
    for step in range(count):
        more = {"metrics": {"accuracy": step / count}, "rates": {"a": 1e-3 * (step + 1), "b": 0.1}}
        yield {"step": step, "loss": 2 - step / 100} | (more if step % 10 == 0 else {})


def test_a_line_joins_the_values_of_every_tenth_step(tmp_path):
    page = read(write_report(record(tmp_path / "run", every_tenth()), tmp_path / "page.html"))
    assert drawn(page) == {"picture-loss", "picture-metric-0", "picture-groups-0"}
    lines = {figure["id"]: figure["data"] for figure in figures(page)}
    for line in [*lines["picture-metric-0"], *lines["picture-groups-0"]]:
        assert line["x"] == [0, 10, 20, 30, 40, 50]
        assert None not in line["y"]
        assert line["mode"] == "lines"


@pytest.mark.parametrize("last", [59, 50])
def test_a_loss_of_every_tenth_step_is_no_loss_that_broke(tmp_path, last):
    rows = [{"step": s, "rate": 0.1} | ({"loss": 3.0 - s / 50} if s % 10 == 0 else {})
            for s in range(last + 1)]  # fmt: skip
    (run,) = load_runs(record(tmp_path / "run", rows))
    assert verdict(run) == "The loss fell from 3 to 2 by step 50."
    assert remarks([run]) == []
    assert run.by_batch("loss")[0].tolist() == [0, 10, 20, 30, 40, 50]


def test_a_loss_that_was_recorded_as_nan_is_still_said(tmp_path):
    rows = [*every_tenth(30), {"step": 30, "loss": math.nan}, {"step": 31, "rate": 0.1}]
    (run,) = load_runs(record(tmp_path / "run", rows))
    assert verdict(run).startswith("Training broke: the loss is not finite at the end.")
    assert remarks([run])[0].startswith("1 loss of the run run is NaN or infinite")


def test_a_validation_in_a_row_of_its_own_does_not_end_the_loss(tmp_path):
    rows = [{"step": 0, "loss": 2.0}, {"step": 1, "loss": 1.0}]
    rows.append({"step": 1, "metrics": {"val_loss": 1.5}})
    folder = record(tmp_path / "run", rows)
    (run,) = load_runs(folder)
    assert verdict(run).startswith("The loss fell from 2 to 1 by step 1. The validation loss ended")
    assert "loss 2 to 1" in repr(History.load(folder))


def test_a_metric_of_every_second_epoch(tmp_path):
    with Recorder(tmp_path / "run") as recorder:
        for epoch in range(6):
            more = {"val_loss": 2.0 - epoch / 10} if epoch % 2 else {}
            recorder.log_epoch(epoch, metrics={"accuracy": epoch / 6} | more)
    page = read(write_report(tmp_path / "run", tmp_path / "page.html"))
    validation = next(f for f in figures(page) if f["id"] == "picture-loss")["data"][-1]
    assert (validation["x"], validation["y"]) == ([1, 3, 5], [1.9, 1.7, 1.5])


def test_a_value_between_two_that_are_no_numbers_is_a_point(tmp_path):
    loss = np.array([1.0, np.nan, 2.0, 3.0, np.inf, 4.0])
    page = read(write_report(History({"loss": loss}, name="torn"), tmp_path / "page.html"))
    (line,) = figures(page)[0]["data"]
    assert line["mode"] == "lines+markers"
    assert [bool(size) for size in line["marker"]["size"]] == [True, *[False] * 4, True]
