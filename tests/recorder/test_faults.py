"""Every write, flush and close fails or is interrupted once: at most the row at hand is lost."""

import contextlib
import math
import random
import warnings

import pytest

from layerwise.errors import RecorderError
from layerwise.recorder import History, Recorder, RecorderWarning
from tests._support.faults import (
    AFTER,
    BEFORE,
    HALF,
    Fault,
    Interrupted,
    failing_files,
    interrupted,
)

ROWS = 4


class Slow:
    """A sink with a buffer, whose calls can be made to fail."""

    def __init__(self, fault=None):
        self.rows, self.flushed = [], []
        if fault is not None:
            for name in ("write", "flush", "close"):
                setattr(self, name, fault.around(getattr(self, name)))

    def write(self, step, values):
        self.rows.append((step, values))
        self.flush()

    def flush(self):
        self.flushed += self.rows[len(self.flushed) :]

    def close(self):
        self.flush()


def train(run, sink, errors=(KeyboardInterrupt, Interrupted)):
    """Record two kinds of rows; go on after an interruption, as a cell that is run again does."""
    with contextlib.suppress(errors):
        recorder = None
        recorder = Recorder(run, sinks=[sink])
    if recorder is None:
        recorder = Recorder(run, sinks=[sink])
    for step in range(ROWS):
        with contextlib.suppress(errors):
            recorder.log(step=step, loss=10.0 + step, rates={"a": 0.5})
        with contextlib.suppress(errors):
            recorder.log(step=step, metrics={"other": 20.0 + step, "names": 0.25})
    for _ in range(2):
        with contextlib.suppress(errors):
            recorder.close()


def lost(run):
    """How many rows are lost; what is there is right."""
    batch = History.load(run).batch
    there = list(
        zip(*(batch.get(name, []) for name in ("step", "loss", "other", "rates/a")), strict=True)
    )
    found = 0
    for step, loss, other, rate in there:
        first = loss == 10.0 + step and rate == 0.5 and math.isnan(other)
        assert first or (other == 20.0 + step and math.isnan(loss)), there
        found += 1
    assert batch["step"].tolist() == sorted(batch["step"].tolist())
    return 2 * ROWS - found


MOMENTS = [
    (BEFORE, OSError),
    (AFTER, OSError),
    (HALF, OSError),
    (BEFORE, KeyboardInterrupt),
    (AFTER, KeyboardInterrupt),
    (HALF, KeyboardInterrupt),
]


@pytest.mark.parametrize(("moment", "error"), MOMENTS)
def test_the_file_fails_once(tmp_path, moment, error):
    tried = worst = 0
    while True:
        fault, sink, run = Fault(tried, moment, error), Slow(), tmp_path / str(tried)
        with warnings.catch_warnings(record=True) as caught, failing_files(fault):
            warnings.simplefilter("always")
            # Only the opening refuses, before there is a row.
            with contextlib.suppress(RecorderError, OSError):
                train(run, sink)
        if fault.calls <= tried:
            break
        assert all(issubclass(warning.category, RecorderWarning) for warning in caught)
        assert len(caught) <= 1
        assert sink.rows or fault.calls < 20
        if sink.rows:
            missing = lost(run)
            worst = max(worst, missing)
            assert missing <= 1, (tried, moment)
        tried += 1
    assert tried > 3 * 2 * ROWS
    assert worst == ((moment, error) != (AFTER, OSError))


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit, RecursionError])
@pytest.mark.parametrize("moment", [BEFORE, AFTER])
def test_a_sink_fails_once(tmp_path, moment, error):
    tried = 0
    while True:
        fault, run = Fault(tried, moment, error), tmp_path / str(tried)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train(run, Slow(fault))
        assert lost(run) == 0
        if fault.calls <= tried:
            assert caught == []
            break
        assert [warning.category for warning in caught] == [RecorderWarning]
        tried += 1
    # A write and a flush for each row, and at the end both once more.
    assert tried == 2 * 2 * ROWS + 2


def test_interrupted_between_any_two_bytecodes(tmp_path):
    count = [0]
    with interrupted(-1, "layerwise.recorder", count):
        train(tmp_path / "whole", Slow())
    assert lost(tmp_path / "whole") == 0
    total = count[0]
    assert total > 3000
    random.seed(20240607)
    reached = 0
    for at in sorted(random.sample(range(total), 400)):
        run = tmp_path / str(at)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with interrupted(at, "layerwise.recorder", count):
                train(run, Slow())
        reached += count[0] > at
        assert [w for w in caught if w.category is not RecorderWarning] == []
        assert lost(run) <= 1, at
    # Threads take turns by chance, so a few of the last may not be reached.
    assert reached > 350


def test_a_signal_handler_that_records_too(tmp_path):
    def record(run, at, count):
        recorder = Recorder(run)
        at_hand = [0]
        with interrupted(
            at,
            "layerwise.recorder",
            count,
            lambda: recorder.log(step=at_hand[0], metrics={"signal": 1.0}),
        ):
            for step in range(4):
                at_hand[0] = step
                recorder.log(step=step, loss=1.0, rates={"a": 0.5})
        recorder.close()
        return History.load(run).batch

    count = [0]
    assert "signal" not in record(tmp_path / "whole", -1, count)
    random.seed(20240607)
    for at in random.sample(range(count[0] - 50), 200):
        batch = record(tmp_path / str(at), at, [0])
        assert sorted(set(batch["step"].tolist())) == [0, 1, 2, 3]
        assert (batch["loss"] == 1.0).sum() == 4
        assert (batch["signal"] == 1.0).sum() == 1
        assert len(batch["step"]) == 5


def test_warnings_that_are_errors_spoil_nothing(tmp_path):
    class Broken(Slow):
        def write(self, step, values):
            raise ConnectionError("down")

    recorder = Recorder(tmp_path, sinks=[Broken(), Broken(), Slow()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RecorderWarning, match="Broken could not write step 0"):
            recorder.log(step=0, loss=1.0)
        for step in range(1, 5):
            recorder.log(step=step, loss=1.0)
        recorder.close()
    assert History.load(tmp_path).batch["step"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("moment", [BEFORE, AFTER, HALF])
def test_a_block_is_written_whole_or_not_at_all(tmp_path, moment, error):
    for at in range(12):
        run = tmp_path / str(at)
        recorder = Recorder(run)
        recorder.log(step=0, loss=0.0)
        with (
            warnings.catch_warnings(),
            contextlib.suppress(KeyboardInterrupt),
            failing_files(Fault(at, moment, error)),
        ):
            warnings.simplefilter("ignore")
            recorder.log_many({"step": step, "loss": 1.0 * step} for step in range(1, 40))
        recorder.log(step=40, loss=40.0)
        recorder.close()
        steps = History.load(run).batch["step"].tolist()
        assert steps in ([*range(41)], [0, 40])
