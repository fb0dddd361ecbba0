"""A run has one writer: another process is refused, and of two in one process the last goes on."""

import copy
import errno
import fcntl
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from layerwise.errors import RecorderError
from layerwise.recorder import History, Recorder, RecorderWarning
from tests._support.own_process import MOST_SECONDS, ROOT, reported
from tests._support.runs import FILE

PAIRS = (("loss", 1.0), ("rate", 77.0))
CHILD = "tests._scripts.recorder_child"
# Python's warning, and JAX's where an earlier test of the process has started it.
ONCE_THREADS_RUN = pytest.mark.filterwarnings("ignore:.*fork")


def columns(run):
    batch = History.load(run).batch
    return {name: batch[name].tolist() for name in batch if name != "time"}


def never_mixed(run):
    """No row has the loss of one writer and the rate of the other."""
    found = [json.loads(line) for line in (run / FILE).read_text().splitlines()]
    names = {}
    for line in found:
        if isinstance(line, dict) and "columns" in line:
            assert line["id"] not in names, "an id is declared once"
            names[line["id"]] = line["columns"]
        elif isinstance(line, list):
            row = dict(zip(names[line[0]], line[1:], strict=True))
            assert row.get("loss", 1.0) == 1.0
            assert row.get("rate", 77.0) == 77.0
    return len(names)


def test_two_recorders_in_one_process(tmp_path):
    first, second = Recorder(tmp_path), Recorder(tmp_path)
    first.log(step=0, loss=1.0)
    second.log(step=0, rate=77.0)
    with pytest.warns(RecorderWarning, match="has stopped: a newer recorder writes") as caught:
        first.log(step=1, loss=1.0)
    first.log(step=2, loss=1.0)
    second.log(step=1, rate=77.0)
    assert len(caught) == 1
    first.close()
    second.close()
    assert columns(tmp_path) == {"step": [0, 1], "rate": [77.0, 77.0]}
    assert never_mixed(tmp_path) == 2


def test_a_cell_that_is_run_again(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.log(step=0, loss=1.0)
    left = recorder  # such as by a traceback
    recorder = Recorder(tmp_path)
    for step in range(3):
        recorder.log(step=step, loss=1.0)
    recorder.close()
    left.close()
    assert columns(tmp_path) == {"step": [0, 1, 2], "loss": [1.0] * 3}


def test_one_after_the_other_though_both_were_open(tmp_path):
    first, second = Recorder(tmp_path), Recorder(tmp_path)
    for recorder, steps in ((first, range(3)), (second, range(3, 6))):
        for step in steps:
            recorder.log(step=step, loss=1.0)
        recorder.close()
    assert columns(tmp_path)["step"] == list(range(6))


def test_a_thread_with_a_counter_of_its_own(tmp_path):
    start = threading.Barrier(2)

    def record(name):
        recorder = Recorder(tmp_path)
        start.wait()
        for step in range(300):
            recorder.log(step=step, **({"loss": 1.0} if name == "loss" else {"rate": 77.0}))
        recorder.close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=record, args=(name,)) for name in ("loss", "rate")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    never_mixed(tmp_path)
    found = columns(tmp_path)
    # Either one is over before the other begins, or one stops with a warning. In the moment in
    # which the other begins, it may still write a few rows, under its own names.
    assert len(caught) <= 1
    whole = [sum(value == number for value in found.get(name, [])) for name, number in PAIRS]
    assert 300 in whole
    assert len(found["step"]) <= 330


def test_two_threads_with_one_recorder_and_two_counters(tmp_path):
    recorder = Recorder(tmp_path)

    def record(steps):
        for step in steps:
            recorder.log(step=step, loss=1.0)

    def take_turns():
        # Both live all the time: the number of a thread that has ended goes to the next one.
        with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
            turns = ((one, range(5)), (other, range(5)), (one, range(3, 6)), (other, range(2)))
            for thread, steps in turns:
                thread.submit(record, steps).result()
            record([0])

    with pytest.warns(RecorderWarning, match="Two threads record") as caught:
        take_turns()
    assert len(caught) == 1
    recorder.close()


def test_threads_that_share_a_recorder_lose_nothing(tmp_path):
    recorder = Recorder(tmp_path)
    take = threading.Lock()
    steps = iter(range(1000))

    def record():
        while True:
            with take:
                step = next(steps, None)
                if step is None:
                    return
                recorder.log(step=step, metrics={f"m{step % 5}": float(step)})

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()
    found = History.load(tmp_path).batch
    assert found["step"].tolist() == list(range(1000))
    for number in range(5):
        assert found[f"m{number}"][number::5].tolist() == list(range(number, 1000, 5))


def test_another_process_is_refused(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.log(step=0, loss=1.0)
    # A reader in this process makes the system drop the lock; it is taken again.
    for step in range(1, 200):
        if step == 50:
            History.load(tmp_path)
        recorder.log(step=step, loss=1.0)
    found = reported(CHILD, str(tmp_path))
    assert f"Another process is recording in {tmp_path}" in found["refused"]
    recorder.log(step=200, loss=1.0)
    recorder.close()
    assert columns(tmp_path) == {"step": list(range(201)), "loss": [1.0] * 201}
    # Nothing is left behind.
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert reported(CHILD, str(tmp_path)) == {"refused": None, "warned": []}


def test_a_killed_process_leaves_no_lock(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-m", CHILD, str(tmp_path), "hold"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert json.loads(child.stdout.readline()) == {"refused": None, "warned": []}
    with pytest.raises(RecorderError, match="Another process is recording"):
        Recorder(tmp_path)
    child.kill()  # and at once, while it may still be there
    with Recorder(tmp_path) as recorder:
        recorder.log(step=5, rate=77.0)
    assert child.wait(MOST_SECONDS) == -signal.SIGKILL
    child.stdin.close()
    child.stdout.close()
    assert columns(tmp_path)["step"] == list(range(6))


def forked(recorder, out):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(100, 110):
            recorder.log(step=step, metrics={"other": 5.0})
        recorder.close()
    out.send([str(warning.message) for warning in caught])


class Rows:
    def __init__(self):
        self.steps, self.closed = [], 0

    def write(self, step, values):
        self.steps.append(step)

    def close(self):
        self.closed += 1


@ONCE_THREADS_RUN
def test_a_fork_writes_nothing(tmp_path):
    sink = Rows()
    recorder = Recorder(tmp_path, sinks=[sink])
    recorder.log(step=0, loss=1.0)
    here, there = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=forked, args=(recorder, there))
    child.start()
    said = here.recv()
    child.join()
    assert any("forked off" in message and "has stopped" in message for message in said)
    recorder.log(step=1, loss=1.0)
    recorder.close()
    assert columns(tmp_path) == {"step": [0, 1], "loss": [1.0, 1.0]}
    assert (sink.steps, sink.closed) == ([0, 1], 1)


@ONCE_THREADS_RUN
def test_a_fork_may_take_over_from_a_process_that_has_ended(tmp_path):
    here, there = os.pipe()
    parent = os.fork()
    if parent == 0:  # this one opens the run, goes to the background, and ends
        recorder = Recorder(tmp_path)
        recorder.log(step=0, loss=1.0)
        waiting, ended = os.pipe()
        if os.fork():
            os._exit(0)
        os.close(ended)
        os.read(waiting, 1)  # until the parent is gone, and with it its end of the pipe
        recorder.log(step=1, loss=1.0)
        recorder.close()
        os.write(there, b"done")
        os._exit(0)
    os.waitpid(parent, 0)
    assert os.read(here, 4) == b"done"
    os.close(here)
    os.close(there)
    assert columns(tmp_path) == {"step": [0, 1], "loss": [1.0, 1.0]}


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_recorder_is_not_copied(tmp_path, duplicate):
    with Recorder(tmp_path, sinks=[Rows()]) as recorder:
        recorder.log(step=0)
        with pytest.raises(RecorderError, match="can't be copied or pickled"):
            duplicate(recorder)


def no_locks(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "lockf", no_locks)
    with pytest.warns(RecorderWarning, match="can't be locked here: No locks") as caught:
        first = Recorder(tmp_path)
    first.log(step=0, loss=1.0)
    # Who writes is noticed all the same.
    second = reported(CHILD, str(tmp_path))
    assert second == {"refused": None, "warned": []}
    with pytest.warns(RecorderWarning, match="a newer recorder writes to it"):
        first.log(step=1, loss=1.0)
    first.close()
    assert len(caught) == 1
    assert columns(tmp_path)["rate"] == [77.0] * 5


def test_windows_has_no_such_locks(tmp_path, monkeypatch):
    monkeypatch.setattr("layerwise.recorder._file.fcntl", None)
    first, second = Recorder(tmp_path), Recorder(tmp_path)
    first.log(step=0, loss=1.0)
    second.log(step=0, rate=77.0)
    with pytest.warns(RecorderWarning, match="a newer recorder"):
        first.log(step=1, loss=1.0)
    first.close()
    second.close()
    assert columns(tmp_path) == {"step": [0], "rate": [77.0]}
