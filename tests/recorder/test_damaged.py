"""Reading leaves out what is wrong, whatever is wrong with it, and nothing else."""

import json
import math
import warnings

import numpy as np
import pytest

from layerwise.errors import RecorderError
from layerwise.recorder import History, Recorder, RecorderWarning
from layerwise.recorder import _reading as reading
from tests._support.runs import FILE

WRONG_LINES = [
    '[0, 4, 0.1, "abc"]',
    "[0, 4, 0.1, null]",
    "[0, 4, 0.1, true]",
    "[0, 4, 0.1, [1.0]]",
    '[0, 4, 0.1, {"a": 1}]',
    "[0, 4, 0.1, NaN]",
    "[0, 4, 0.1, 1e999]",
    f"[0, 4, 0.1, 1{'0' * 400}]",
    f"[0, 4, 0.1, 1{'0' * 5000}]",
    "[0, null, 0.1, 1.0]",
    "[0, 4.5, 0.1, 1.0]",
    "[0, 4.0, 0.1, 1.0]",
    '[0, "nan", 0.1, 1.0]',
    "[0, -1, 0.1, 1.0]",
    f"[0, {2**53 + 1}, 0.1, 1.0]",
    "[0, true, 0.1, 1.0]",
    "[true, 4, 0.1, 1.0]",
    "[0.0, 4, 0.1, 1.0]",
    '["0", 4, 0.1, 1.0]',
    "[[0], 4, 0.1, 1.0]",
    "[0, 4, 0.1]",
    "[0, 4, 0.1, 1.0, 2.0]",
    "[7, 4, 0.1, 1.0]",
    "[]",
    "{}",
    "null",
    "4",
    '"text"',
    "true",
    "",
    "[" * 100_000,
    '{"a":' * 100_000,
    "[0, 4, 0.1, 1.0",
    '{"columns": [], "of": "batch", "id": 5}',
    '{"columns": "step", "of": "batch", "id": 5}',
    '{"columns": ["step", 7], "of": "batch", "id": 5}',
    '{"columns": ["step", "step"], "of": "batch", "id": 5}',
    '{"columns": ["step"], "of": "minute", "id": 5}',
    '{"columns": ["step"], "of": ["batch"], "id": 5}',
    '{"columns": ["step"], "of": "batch", "id": true}',
    '{"columns": ["step"], "of": "batch", "id": "5"}',
    '{"columns": ["step"], "of": "batch", "id": -1}',
    '{"columns": ["step"], "of": "batch"}',
    '{"resume": {"step": true}}',
    '{"resume": {"step": -3}}',
    '{"resume": {"step": 1.0}}',
    '{"resume": {"step": "1"}}',
    '{"resume": {"epoch": null}}',
    '{"resume": 1}',
    '{"resume": {}}',
]


def recorded(run):
    with Recorder(run) as recorder:
        for step in range(4):
            recorder.log(step=step, loss=1.0 + step)
    return (run / FILE).read_text().splitlines()


@pytest.mark.parametrize("wrong", WRONG_LINES, ids=lambda line: line[:40])
@pytest.mark.parametrize("place", [2, 4, 6])
def test_a_wrong_line_is_left_out(tmp_path, wrong, place):
    lines = recorded(tmp_path)
    lines.insert(place, wrong)
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    for rows in (None, 10):
        with pytest.warns(RecorderWarning, match="^1 line of .* can't be read and are left out"):
            batch = History.load(tmp_path, rows=rows).batch
        assert batch["loss"].tolist() == [1.0, 2.0, 3.0, 4.0]
        assert batch["step"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("line", [b"\xff\xfe", b"\x00" * 100, "[0, 4, 0.1, \u0661]".encode()])
def test_bytes_that_are_no_text(tmp_path, line):
    lines = [text.encode() for text in recorded(tmp_path)]
    (tmp_path / FILE).write_bytes(b"\n".join([*lines, line]) + b"\n")
    with pytest.warns(RecorderWarning, match="^1 line of"):
        assert History.load(tmp_path).batch["loss"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_line_without_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LONGEST_LINE", 1000)
    lines = recorded(tmp_path)
    lines.insert(3, "[0, 4, 0.1, " + "1" * 10_000)
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    with pytest.warns(RecorderWarning, match="^1 line of"):
        assert History.load(tmp_path).batch["loss"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_rows_after_damaged_columns_have_no_names(tmp_path):
    lines = recorded(tmp_path)
    lines += ['{"columns": ["step", "time", 8], "of": "batch", "id": 0}', "[0, 4, 0.1, 5.0]"]
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    with pytest.warns(RecorderWarning, match="^2 lines of"):
        assert History.load(tmp_path).batch["loss"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_what_a_later_version_adds_is_no_damage(tmp_path):
    lines = [*recorded(tmp_path), '{"note": "of a later version"}']
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    assert History.load(tmp_path).batch["loss"].tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("text", ["", "{", '{"layerwise": "rec', '{"layerwise": "record", "versi'])
def test_a_record_that_was_only_begun_is_empty(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    history = History.load(tmp_path)
    assert (dict(history.batch), dict(history.epoch)) == ({}, {})
    assert history.name == tmp_path.name
    with Recorder(tmp_path) as recorder:
        recorder.log(step=0, loss=1.0)
    assert History.load(tmp_path).batch["loss"].tolist() == [1.0]


HEADER = '{"layerwise": "record", "version": 1, "started": %s}'


@pytest.mark.parametrize("started", ['"noon"', "null", "[]", "1e999", "1" + "0" * 400, "true or"])
def test_a_header_that_does_not_say_when(tmp_path, started):
    lines = recorded(tmp_path)
    lines[0] = HEADER % started
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    if started == "true or":  # no JSON
        with pytest.raises(RecorderError, match="no record of Layerwise"):
            History.load(tmp_path)
        return
    assert History.load(tmp_path).batch["loss"].tolist() == [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(RecorderError, match=r"record.jsonl"):  # times could not go on
        Recorder(tmp_path)
    assert (tmp_path / FILE).read_text() == "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "version", ["true", "[]", "{}", "null", '"1"', "2", "1.5", f'"{"x" * 9999}"']
)
def test_a_header_of_another_version(tmp_path, version):
    (tmp_path / FILE).write_text(f'{{"layerwise": "record", "version": {version}}}\n')
    for opened in (History.load, Recorder):
        with pytest.raises(RecorderError, match="has version") as caught:
            opened(tmp_path)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("first", ["[" * 100_000, "[]", '"record"', '{"layerwise": []}', "7"])
def test_a_first_line_that_is_none(tmp_path, first):
    (tmp_path / FILE).write_text(first + "\n")
    for opened in (History.load, Recorder):
        with pytest.raises(RecorderError, match="no record of Layerwise"):
            opened(tmp_path)


def test_large_steps_are_exact_or_refused(tmp_path):
    most = 2**53
    with Recorder(tmp_path) as recorder:
        recorder.log(step=most, epoch=most - 1, loss=1.0)
        for step in (most + 1, 10**400, 10**5000, float(most) * 2):
            with pytest.raises(RecorderError, match=r"step'? must be a"):
                recorder.log(step=step)
    batch = History.load(tmp_path).batch
    assert (batch["step"].tolist(), batch["epoch"].tolist()) == ([most], [most - 1])
    (tmp_path / "t.csv").write_text(f"step,loss\n{most},1.0\n")
    assert History.from_csv(tmp_path / "t.csv").batch["step"].tolist() == [most]
    (tmp_path / "t.csv").write_text(f"step,loss\n{most + 1},1.0\n")
    with pytest.raises(RecorderError, match=r"Line 2 .* is above 2\*\*53"):
        History.from_csv(tmp_path / "t.csv")
    assert History({"step": [most + 1]}).batch["step"].tolist() == [most + 1]
    for steps in ([2**70], [float(2**60)]):
        with pytest.raises(RecorderError, match=r"no number above 2\*\*53"):
            History({"step": steps})


@pytest.mark.parametrize(
    "values",
    [{"loss": 10**400}, {"rate": -(10**400)}, {"metrics": {"m": 10**5000}}, {"time": 10**400}],
)
def test_a_number_that_no_float_holds(tmp_path, values):
    with Recorder(tmp_path) as recorder:
        recorder.log(step=0, loss=1.0)
        with pytest.raises(RecorderError, match="a number that a float can hold") as caught:
            recorder.log(step=1, **values)
        assert len(str(caught.value)) < 500
        with pytest.raises(RecorderError):
            recorder.log_many([{"step": 1}, {"step": 2, **values}])
        recorder.log(step=1, loss=1e308, metrics={"small": 5e-324})
    assert History.load(tmp_path).batch["loss"].tolist() == [1.0, 1e308]


def test_columns_in_memory_and_in_tables(tmp_path):
    for values in ([10**400], [1j], ["low"], np.array(["2020-01-01"], "datetime64[s]"), [None, {}]):
        with pytest.raises(RecorderError, match="'loss' must hold numbers only"):
            History({"loss": values})
    for text in ("step,step\n0,1\n", "step,loss\n0,1e400\n", "a,b\n1,\x00\n", "a\n1_0_\n"):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(RecorderError, match=r"t\.csv"):
            History.from_csv(tmp_path / "t.csv")
    history = History({"step": [0], "bad\udcff": [1.0], "inf": [math.inf]})
    history.to_csv(tmp_path / "t.csv")
    assert list(History.from_csv(tmp_path / "t.csv").batch) == ["step", "bad\\udcff", "inf"]
    for path in (tmp_path / "no" / "t.csv", tmp_path, "a\0b"):
        with pytest.raises(RecorderError, match="can't be written"):
            history.to_csv(path)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("run", [None, 7, "a\0b", "x" * 5000])
def test_a_run_that_is_no_path(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecorderError):
        Recorder(run)
    assert list(tmp_path.iterdir()) == []


def test_names_that_change_at_every_step(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Recorder(tmp_path) as recorder:
            for step in range(600):
                recorder.log(step=step, metrics={f"m{step}": float(step)})
            recorder.log_many(
                {"step": step, "metrics": {f"m{step}": float(step)}} for step in range(600, 1200)
            )
            assert len(recorder._lines._tables) <= 256
        batch = History.load(tmp_path).batch
    assert all(batch[f"m{step}"][step] == step for step in range(1200))
    ids = [
        line["id"]
        for line in map(json.loads, (tmp_path / FILE).read_text().splitlines())
        if isinstance(line, dict) and "id" in line
    ]
    assert len(ids) == len(set(ids)) == 1200
