"""Rows that wait on a device are fetched together, and the checks of the recorders' arguments."""

import pytest

from layerwise.errors import RecorderError
from layerwise.recorder import History, PendingRows, Recorder, check_ratios, check_wait

LONG = 3600.0


def fetch(waiting):
    return [{"step": step, "loss": float(text)} for step, text in waiting]


def test_rows_wait_until_there_are_so_many():
    batches = []
    rows = PendingRows(fetch, batches.append, most=3)
    for step in range(7):
        rows.add((step, "0.5"))
        rows.flush(wait=LONG)
    assert [len(batch) for batch in batches] == [3, 3]
    assert len(rows) == 1
    rows.flush()
    assert [row["step"] for batch in batches for row in batch] == list(range(7))
    assert len(rows) == 0


def test_nothing_is_delivered_when_nothing_waits():
    batches = []
    rows = PendingRows(fetch, batches.append)
    rows.flush()
    assert batches == []


def test_the_first_row_that_waits_starts_the_clock(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    batches = []
    rows = PendingRows(fetch, batches.append)
    now = 100.0  # a long validation, say
    rows.add((0, "1"))
    rows.flush(wait=0.5)
    assert batches == []
    now = 100.25
    rows.add((1, "2"))
    now = 100.5
    rows.flush(wait=0.5)
    assert [row["loss"] for row in batches[0]] == [1.0, 2.0]


def test_cleared_rows_are_never_fetched():
    batches = []
    rows = PendingRows(fetch, batches.append)
    rows.add((0, "no number"))
    rows.clear()
    rows.flush()
    assert batches == []


def test_a_row_that_can_not_be_fetched_is_not_tried_again():
    batches = []
    rows = PendingRows(fetch, batches.append)
    rows.add((0, "no number"))
    with pytest.raises(ValueError, match="no number"):
        rows.flush()
    rows.add((1, "2"))
    rows.flush()
    assert [row["step"] for row in batches[0]] == [1]


def test_rows_go_into_a_record(tmp_path):
    with Recorder(tmp_path) as recorder:
        rows = PendingRows(fetch, recorder.log_many)
        rows.add((0, "2.5"))
        rows.add((1, "1.5"))
        rows.flush()
    assert History.load(tmp_path).batch["loss"].tolist() == [2.5, 1.5]


@pytest.mark.parametrize("ratios", [0, -1, 1.5, "2", True])
def test_ratios_are_a_number_of_steps(ratios):
    with pytest.raises(RecorderError, match=r"^ratios must be a whole number of at least 1, got "):
        check_ratios(ratios)


def test_ratios_may_be_never():
    assert check_ratios(None) is None
    assert check_ratios(7) == 7


@pytest.mark.parametrize("wait", [-0.5, float("nan"), "1", None])
def test_waiting_takes_a_number_of_seconds(wait):
    with pytest.raises(RecorderError, match=r"^wait must be a number of seconds of at least 0, "):
        check_wait(wait)


def test_waiting_may_take_forever():
    assert check_wait(float("inf")) == float("inf")


@pytest.mark.parametrize("where", ["fetch", "deliver"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_keeps_what_waits_and_a_refusal_does_not(where, error):
    delivered, failing = [], [True]

    def may_fail(name):
        if name == where and failing.pop():
            failing.append(False)
            raise error
        if name == where:
            failing.append(False)

    def fetch(rows):
        may_fail("fetch")
        return [{"step": row} for row in rows]

    def deliver(rows):
        may_fail("deliver")
        delivered.extend(row["step"] for row in rows)

    rows = PendingRows(fetch, deliver)
    for step in range(3):
        rows.add(step)
    with pytest.raises(error):
        rows.flush()
    rows.add(3)
    rows.flush()
    assert delivered == ([0, 1, 2, 3] if error is KeyboardInterrupt else [3])
