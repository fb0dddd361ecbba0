"""Columns: read back, thinned, made in memory, and as tables."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.errors import RecorderError
from layerwise.recorder import History, Recorder
from layerwise.recorder._thin import Thinner

losses = st.lists(
    st.floats(0, 10) | st.sampled_from([math.nan, math.inf]), min_size=1, max_size=300
)


def thinned(values, rows, columns=("step", "loss")):
    thinner = Thinner(rows)
    for step, loss in enumerate(values):
        thinner.add(columns, [step, "nan" if math.isnan(loss) else loss])
    kept = thinner.finish()
    return list(zip(kept["step"].tolist(), kept["loss"].tolist(), strict=True))


@given(losses, st.integers(10, 60))
def test_thinning_keeps_the_ends_and_the_extremes(values, rows):
    kept = thinned(values, rows)
    steps = [step for step, _ in kept]
    assert len(kept) <= rows
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert steps[-1] == len(values) - 1
    assert all(loss == values[step] or math.isnan(values[step]) for step, loss in kept)
    read = [loss for _, loss in kept]
    # What is no number any more counts as the highest: it is what one looks for.
    assert sum(map(math.isnan, read)) + sum(map(math.isinf, read)) >= (
        not all(map(math.isfinite, values))
    )
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        assert min(finite) in read
    if len(finite) == len(values):
        assert max(finite) in read
    if len(values) <= rows:
        assert steps == list(range(len(values)))


@pytest.mark.parametrize("count", [1000, 1024, 99_999])
def test_thinning_is_even(count):
    steps = [step for step, _ in thinned(np.zeros(count), 100)]
    gaps = np.diff(steps)
    # Of equal losses each bucket keeps its first row; there are half to all of the buckets.
    assert 12 <= len(steps) <= 26
    assert len(set(gaps[:-1].tolist())) == 1


def test_thinning_keeps_each_peak_and_each_hole():
    values = np.ones(20_000)
    values[[1234, 9876, 15_001]] = 5.0
    values[[3333, 11_111]] = 0.1
    kept = dict(thinned(values, 200))
    assert {1234, 9876, 15_001, 3333, 11_111} <= set(kept)


def test_thinning_keeps_rows_with_ratios(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log_many(
            {"step": step, "loss": 1.0} | ({"ratios": {"a": 0.5}} if step % 100 == 7 else {})
            for step in range(5000)
        )
    ratios = History.load(tmp_path, rows=100).ratios["a"]
    assert len(ratios) <= 100
    assert np.isfinite(ratios).sum() >= 12


def test_a_thinned_history_is_part_of_the_whole(tmp_path):
    rng = np.random.default_rng(1)
    values = rng.normal(size=3000)
    with Recorder(tmp_path) as recorder:
        recorder.log_many(
            {"step": step, "loss": loss, "rates": {"a": loss**2}}
            for step, loss in enumerate(values)
        )
        for epoch in range(30):
            recorder.log_epoch(epoch, loss=float(epoch))
    whole, thin = History.load(tmp_path), History.load(tmp_path, rows=50)
    assert len(thin.batch["step"]) <= 50
    at = thin.batch["step"]
    for name in whole.batch:
        assert thin.batch[name].tolist() == whole.batch[name][at].tolist()
    assert {values.argmin(), values.argmax(), 0, 2999} <= set(at.tolist())
    assert thin.epoch["epoch"].tolist() == list(range(30))


@pytest.mark.parametrize("rows", [0, 9, 2.5, "100"])
def test_rows_is_a_count(tmp_path, rows):
    Recorder(tmp_path).close()
    with pytest.raises(RecorderError, match="rows must be"):
        History.load(tmp_path, rows=rows)


def test_a_missing_record(tmp_path):
    with pytest.raises(RecorderError, match=r"There is no record in .*nowhere: .* is missing"):
        History.load(tmp_path / "nowhere")


def test_a_run_without_rows(tmp_path):
    Recorder(tmp_path / "empty").close()
    for rows in (None, 10):
        history = History.load(tmp_path / "empty", rows=rows)
        assert (dict(history.batch), dict(history.epoch)) == ({}, {})
    assert repr(history) == "<History 'empty': 0 batches, 0 epochs>"
    assert history.to_pandas().empty


def test_what_is_read_is_typed(tmp_path):
    with Recorder(tmp_path / "a run") as recorder:
        recorder.log(step=0, epoch=0, loss=3)
        recorder.log(step=1, loss=2)
        recorder.log_epoch(0, loss=2.5)
    history = History.load(tmp_path / "a run")
    assert history.name == "a run"
    assert history.batch["step"].dtype == np.int64
    assert history.batch["epoch"].tolist()[0] == 0.0
    assert np.isnan(history.batch["epoch"][1])
    assert history.batch["loss"].dtype == np.float64
    assert repr(history) == "<History 'a run': 2 batches, 1 epoch, loss 3 to 2>"
    with pytest.raises(ValueError, match="read-only"):
        history.batch["loss"][0] = 1.0
    with pytest.raises(TypeError):
        history.batch["new"] = history.batch["loss"]


def test_many_rows_of_two_kinds_keep_their_order(tmp_path):
    # More than are packed at once, and the rarer kind comes first.
    with Recorder(tmp_path) as recorder:
        recorder.log_many(
            {"step": step, "loss": step / 2} | ({"ratios": {"a": step}} if step % 50 == 0 else {})
            for step in range(10_000)
        )
    batch = History.load(tmp_path).batch
    assert list(batch) == ["step", "time", "loss", "ratios/a"]
    assert batch["step"].tolist() == list(range(10_000))
    assert batch["loss"].tolist() == [step / 2 for step in range(10_000)]
    there = np.flatnonzero(np.isfinite(batch["ratios/a"]))
    assert batch["ratios/a"][there].tolist() == there.tolist() == list(range(0, 10_000, 50))


def test_a_history_in_memory():
    given_losses = np.array([1.0, 0.5])
    history = History({"step": [0, 1], "loss": given_losses, "ratios/a": [1e-3, 2e-3]}, name="mine")
    given_losses[0] = 9.0
    assert history.batch["loss"].tolist() == [1.0, 0.5]
    assert history.ratios["a"].tolist() == [1e-3, 2e-3]
    assert history.rates == {}
    assert (history.finding, history.plan, history.schedule) == (None, None, None)
    assert repr(History()) == "<History: 0 batches, 0 epochs>"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"step": [0], "loss": [1.0, 2.0]}, "must have one length"),
        ({"loss": ["low"]}, "'loss' must hold numbers only"),
        ({"loss": [[1.0]]}, "'loss' must have one axis"),
        ({"loss": 1.0}, "'loss' must have one axis"),
    ],
)
def test_columns_that_are_none(columns, message):
    with pytest.raises(RecorderError, match=message):
        History(columns)
    with pytest.raises(RecorderError, match=message):
        History(epoch=columns)


def test_tables(tmp_path):
    with Recorder(tmp_path) as recorder:
        for step in range(3):
            loss = math.nan if step == 1 else 1 / 3
            recorder.log(step=step, loss=loss, rates={"a,b": 1e-30, 'c"': math.inf})
        recorder.log_epoch(0, metrics={"accuracy": 0.5})
    history = History.load(tmp_path)
    frame = history.to_pandas()
    assert list(frame.columns) == list(history.batch)
    assert frame["step"].tolist() == [0, 1, 2]
    assert history.to_pandas("epoch")["accuracy"].tolist() == [0.5]
    history.to_csv(tmp_path / "batch.csv")
    history.to_csv(tmp_path / "epoch.csv", kind="epoch")
    read = History.from_csv(tmp_path / "batch.csv")
    assert read.name == "batch"
    assert list(read.batch) == list(history.batch)
    for name in history.batch:
        np.testing.assert_array_equal(read.batch[name], history.batch[name])
        assert read.batch[name].dtype == history.batch[name].dtype
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "batch.csv"), frame)
    assert History.from_csv(tmp_path / "epoch.csv").batch["accuracy"].tolist() == [0.5]
    with pytest.raises(RecorderError, match="one of 'batch', 'epoch', got 'epochs'"):
        history.to_csv(tmp_path / "no.csv", kind="epochs")
    assert not (tmp_path / "no.csv").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step,loss\n0,1.0\n1\n", "Line 3 of .* has 1 fields, but its first line has 2 names"),
        ("step,loss\n0,low\n", "Line 2 of .* can't be read: could not convert"),
        (None, "can't be read: No such file"),
    ],
)
def test_a_table_that_is_none(tmp_path, text, message):
    path = tmp_path / "table.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecorderError, match=message):
        History.from_csv(path)


def test_metrics_are_what_else_was_measured():
    history = History(
        {"step": [0], "loss": [1.0], "accuracy": [0.5], "rates/head": [0.1], "ratios/head": [0.1]},
        {"epoch": [0], "val_loss": [1.0], "val_f1": [0.5], "val_accuracy": [0.5], "top/5": [0.5]},
    )
    assert history.metrics == ("accuracy", "f1", "top/5")


def test_the_mark_at_the_start_of_excels_csv_is_no_name(tmp_path):
    path = tmp_path / "excel.csv"
    path.write_text("step,loss\r\n0,2.0\r\n1,1.5\r\n", encoding="utf-8-sig", newline="")
    history = History.from_csv(path)
    assert list(history.batch) == ["step", "loss"]
    assert history.batch["step"].tolist() == [0, 1]


def test_thinning_keeps_the_lowest_loss_among_rows_that_have_none():
    thinner = Thinner(20)
    for step in range(1000):
        with_loss = step % 3 == 0
        columns = ("step", "loss") if with_loss else ("step",)
        thinner.add(columns, [step, 1.0 + abs(step - 501)] if with_loss else [step])
    losses = thinner.finish()["loss"]
    assert np.nanmin(losses) == 1.0
    assert np.nanmax(losses) == 502.0


def test_a_table_tells_no_value_from_nan(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log_many([{"step": 0, "loss": math.nan}, {"step": 1, "rate": 0.5}])
    History.load(tmp_path).to_csv(tmp_path / "t.csv")
    rows = (tmp_path / "t.csv").read_text().splitlines()
    assert [row.split(",")[2:] for row in rows[1:]] == [["nan", ""], ["", "0.5"]]
    History.from_csv(tmp_path / "t.csv").to_csv(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text().splitlines() == rows


def test_half_an_epoch_stays_half_an_epoch(tmp_path):
    (tmp_path / "t.csv").write_text("step,epoch,loss\n0,0.5,2\n1,1.0,1\n")
    columns = History.from_csv(tmp_path / "t.csv").batch
    assert columns["epoch"].tolist() == [0.5, 1.0]
    assert columns["step"].dtype == np.int64
