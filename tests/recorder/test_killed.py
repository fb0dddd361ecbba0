"""Whatever moment a process is killed at, its record is whole up to there and is gone on with."""

import itertools
import multiprocessing
import random
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from layerwise.recorder import History, Recorder
from tests._scripts.recorder_endless import loss_at, main
from tests._support.runs import FILE

KILLS = 50

# Each run is a process of its own, made by one that has the library loaded: 50 are quick then.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests._scripts.recorder_endless"])


def run_and_kill(run: Path, step: int, attempt: int, rows: int) -> int:
    """Let a process record, kill -9 it once it said so many rows; how many it said in all."""
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=main, args=(str(run), step, attempt, there))
    process.start()
    there.close()
    said = sum(1 for _ in itertools.islice(messages(here), rows))
    process.kill()
    # It went on until the signal came, and its last words are still in the pipe.
    said += sum(1 for _ in messages(here))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    process.close()
    here.close()
    return said


def messages(connection: Connection):
    try:
        while True:
            yield connection.recv_bytes()
    except EOFError:
        return


def test_killed_fifty_times(tmp_path: Path) -> None:
    random.seed(20240607)
    run = tmp_path / "run"
    expected: list[float] = []
    for attempt in range(KILLS):
        # From the last step, or from a checkpoint that is older than the record.
        step = max(0, len(expected) - random.choice([0, 0, 1, 7]))
        said = run_and_kill(run, step, attempt, random.randint(1, 60))
        batch = History.load(run).batch
        written = len(batch["step"]) - step
        # It can be killed between a row and its saying so; nothing that it said is lost.
        assert written in (said, said + 1)
        assert batch["step"].tolist() == list(range(step + written))
        del expected[step:]
        expected += [loss_at(at, attempt) for at in range(step, step + written)]
        assert batch["loss"].tolist() == expected
    assert len(expected) > KILLS
    assert len(set(map(int, expected))) > KILLS / 2  # rows of most attempts are still there


def test_a_record_cut_anywhere_loses_at_most_its_last_row(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    with Recorder(whole) as recorder:
        for step in range(4):
            recorder.log(step=step, loss=float(step), rates={"a": 0.1, "ä": 0.2})
    data = (whole / FILE).read_bytes()
    header = data.index(b"\n") + 1
    (tmp_path / "cut").mkdir()
    for end in range(len(data) + 1):
        (tmp_path / "cut" / FILE).write_bytes(data[:end])
        # Of its lines the first is the header, and the second has the columns.
        rows = max(0, data[:end].count(b"\n") - 2)
        if end >= header:
            # The last row is whole without its line's end too, and then counts.
            read = History.load(tmp_path / "cut").batch.get("loss", [])
            assert list(read)[:rows] == [0.0, 1.0, 2.0, 3.0][:rows]
            assert len(read) in (rows, rows + 1)
        with Recorder(tmp_path / "cut") as recorder:
            recorder.log(step=rows, loss=9.0)
        read = History.load(tmp_path / "cut").batch
        assert read["loss"].tolist() == [*range(rows), 9.0]
