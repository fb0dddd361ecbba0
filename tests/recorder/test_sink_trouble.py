"""Sinks that hang, are slow, fail or record themselves: training goes on, and they are ended."""

import contextlib
import gc
import threading
import warnings

import pytest

from layerwise.recorder import History, Recorder, RecorderWarning
from layerwise.recorder._sinks import feed


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Wait less, so that the tests are quick; what is waited for never comes."""
    monkeypatch.setattr(feed, "PATIENCE", 1.0)
    monkeypatch.setattr(feed, "GRACE", 0.2)
    monkeypatch.setattr(feed, "MOST_BEHIND", 40)


class Sink:
    """Keeps rows, and says how it was ended."""

    def __init__(self):
        self.steps, self.ends = [], []

    def write(self, step, values):
        self.steps.append(step)

    def close(self):
        self.ends.append("closed")


class Abortable(Sink):
    def abort(self):
        self.ends.append("aborted")


def train(run, *sinks, steps=100, with_end=True):
    """Record, and give the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recorder = Recorder(run, sinks=sinks)
        for step in range(steps):
            recorder.log(step=step, loss=1.0)
        if with_end:
            recorder.close()
    assert History.load(run).batch["step"].tolist() == list(range(steps))
    assert all(warning.category is RecorderWarning for warning in caught)
    return [str(warning.message) for warning in caught]


def served():
    """The threads that serve sinks."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("layerwise-")]


class Gate:
    """Blocks a call for as long as the test lasts."""

    def __init__(self):
        self.open = threading.Event()

    def wait(self, *_):
        self.open.wait(60)


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.open.set()
    for thread in served():
        thread.join(60)
    assert served() == []


@pytest.mark.parametrize("base", [Sink, Abortable])
@pytest.mark.parametrize("steps", [5, 100])
def test_a_write_that_hangs(tmp_path, gate, base, steps):
    class Hanging(base):
        def write(self, step, values):
            super().write(step, values)
            if step == 3:
                gate.wait()

    sink, other = Hanging(), Sink()
    (message,) = train(tmp_path, sink, other, steps=steps)
    assert message.startswith("Hanging ")
    assert "gets nothing more" in message
    assert sink.ends == ["aborted" if base is Abortable else "closed"]
    assert other.steps == list(range(steps))
    assert other.ends == ["closed"]
    assert all(thread.daemon for thread in served())
    gate.open.set()
    for thread in served():
        thread.join(60)
    assert sink.steps == [0, 1, 2, 3]


def test_a_close_that_hangs(tmp_path, gate):
    class Hanging(Abortable):
        def close(self):
            gate.wait()

    sink = Hanging()
    (message,) = train(tmp_path, sink)
    assert "Hanging hangs and gets nothing more: it has not finished after" in message
    assert sink.ends == ["aborted"]
    assert sink.steps == list(range(100))


def test_everything_hangs(tmp_path, gate):
    class Hanging(Sink):
        write = close = abort = gate.wait

    messages = train(tmp_path, Hanging(), Hanging(), Hanging())
    assert len(messages) == 3


def test_a_slow_sink_works_behind(tmp_path, gate):
    class Slow(Sink):
        def write(self, step, values):
            super().write(step, values)
            if step < 3:
                threading.Event().wait(0.1)

    sink = Slow()
    assert train(tmp_path, sink) == []
    assert sink.steps == list(range(100))
    assert sink.ends == ["closed"]


def test_a_sink_that_is_too_slow_is_dropped(tmp_path, gate):
    class Slow(Abortable):
        def write(self, step, values):
            super().write(step, values)
            threading.Event().wait(0.2)

    sink = Slow()
    (message,) = train(tmp_path, sink, steps=300)
    assert message.startswith("Slow is too slow and gets nothing more: it is ")
    assert sink.ends == ["aborted"]
    assert 0 < len(sink.steps) < 100


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, MemoryError, RecursionError])
def test_a_client_that_wants_to_end_the_process(tmp_path, gate, error):
    class Ending(Sink):
        def write(self, step, values):
            raise error("now")

    sink = Ending()
    (message,) = train(tmp_path, sink)
    assert message.startswith(
        f"Ending could not write step 0 and gets nothing more: {error.__name__}"
    )
    assert sink.ends == ["closed"]


def test_an_error_without_a_text_and_one_of_a_megabyte(tmp_path, gate):
    class UnsaidError(Exception):
        def __str__(self):
            raise ValueError

    class Silent(Sink):
        def write(self, step, values):
            raise UnsaidError

    class Loud(Sink):
        def write(self, step, values):
            raise OSError("x" * 1_000_000)

    first, second = train(tmp_path, Silent(), Loud())
    assert "UnsaidError" in first
    assert len(second) < 1000


def test_a_sink_that_records(tmp_path, gate):
    class Recording(Sink):
        def write(self, step, values):
            super().write(step, values)
            if step % 2 == 0:
                recorder.log(step=step, metrics={f"seen {step}": 1.0})

    sink = Recording()
    recorder = Recorder(tmp_path, sinks=[sink])
    for step in range(6):
        recorder.log(step=step, loss=1.0)
    recorder.close()
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [0, 0, 1, 2, 2, 3, 4, 4, 5]
    assert (batch["loss"] == 1.0).sum() == 6
    assert sink.steps == list(range(6))


def test_a_sink_that_records_what_is_past_is_dropped(tmp_path, gate):
    class Late(Sink):
        def write(self, step, values):
            super().write(step, values)
            if step == 3:
                recorder.log(step=1, metrics={"seen": 1.0})

    recorder = Recorder(tmp_path, sinks=[Late()])
    for step in range(3):
        recorder.log(step=step, loss=1.0)
    with pytest.warns(RecorderWarning, match="A sink can't record a step"):
        recorder.log_many({"step": step, "loss": 1.0} for step in range(3, 6))
    recorder.close()
    assert History.load(tmp_path).batch["step"].tolist() == list(range(6))


def test_a_recorder_that_nobody_closes_leaves_no_thread(tmp_path, gate):
    for number in range(3):
        sink = Sink()
        train(tmp_path / str(number), sink, with_end=False)
        gc.collect()
        for thread in served():
            thread.join(60)
        assert sink.ends == ["closed"]
    assert served() == []


def test_interrupted_while_it_waits_for_the_end(tmp_path, gate):
    sink = Sink()
    recorder = Recorder(tmp_path, sinks=[sink])
    recorder.log(step=0)
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(feed.Feed, "wait_for_end", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        recorder.close()
    recorder.close()
    assert sink.ends == ["closed"]
    assert served() == []
