"""Paths that can't be written: an error of ours on one line, the old file kept, no part left."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from layerwise import LayerwiseError, RecorderError, cosine, plots
from layerwise._files import written_whole
from layerwise.cli import app
from layerwise.recorder import History, Recorder
from layerwise.report import write_report


def draw(ax):
    return plots.schedule(cosine(10), ax=ax)


@pytest.fixture
def run(tmp_path):
    with Recorder(tmp_path / "run") as recorder:
        recorder.log(step=0, loss=1.0)
    return tmp_path / "run"


WRITERS = {
    "picture": lambda path, run: plots.save(f"{path}.png", draw),
    "vector": lambda path, run: plots.save(f"{path}.svg", draw),
    "page": lambda path, run: write_report(run, f"{path}.html"),
    "table": lambda path, run: History.load(run).to_csv(f"{path}.csv"),
}
PATHS = {
    "no folder": "nowhere/file",
    "a file as a folder": "file/file",
    "too long": "x" * 300,
    "a null": "a\x00b",
    "no encoding writes it": "a\ud800b",
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))
@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
def test_a_path_that_cannot_be_written(write, path, tmp_path, run):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "file").write_text("", encoding="utf-8")
    with pytest.raises(LayerwiseError) as caught:
        write(f"{folder}/{path}", run)
    message = str(caught.value)
    assert "can't be written to" in message
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert [entry.name for entry in folder.iterdir()] == ["file"]


@pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))
@pytest.mark.parametrize("kind", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_on_the_way_leaves_the_old_file(write, kind, tmp_path, run, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    write(folder / "file", run)
    [file] = folder.iterdir()
    before = file.read_bytes()
    file.write_bytes(before + b" ")

    def replace(*arguments):
        raise kind

    monkeypatch.setattr("pathlib.Path.replace", replace)
    error = LayerwiseError if isinstance(kind, OSError) else KeyboardInterrupt
    with pytest.raises(error, match="No space left" if isinstance(kind, OSError) else None):
        write(folder / "file", run)
    assert [(entry.name, entry.read_bytes()) for entry in folder.iterdir()] == [
        (file.name, before + b" ")
    ]


@pytest.mark.parametrize("path", ["picture", "picture.what", "picture.", 3, None, b"a.png"])
def test_a_picture_of_no_known_kind(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LayerwiseError, match=r"must end in \.png, \.svg or \.pdf, got"):
        plots.save(path, draw)
    assert list(tmp_path.iterdir()) == []


def test_a_drawing_that_fails_leaves_nothing(tmp_path):
    def fail(ax):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        plots.save(tmp_path / "a.png", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_one_and_its_file_is_written(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    plots.save(tmp_path / "link.png", draw)
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_that_is_protected_stays(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    file.write_bytes(b"old")
    file.chmod(0o444)
    if os.geteuid() == 0:  # who may write anywhere, so that the system is made to say no
        monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(LayerwiseError, match="Permission denied"):
        plots.save(file, draw)
    assert file.read_bytes() == b"old"


@pytest.mark.parametrize("through", ["record.jsonl", "page.html"])
def test_a_record_is_not_replaced(through, run):
    record = run / "record.jsonl"
    if through != record.name:
        (run / through).symlink_to(record)
    old = record.read_bytes()
    refused = r"^\S.* can't be written to \S+: that is the record of a run, .*another name\.$"
    with pytest.raises(RecorderError, match=refused):
        write_report(run, run / through)
    with pytest.raises(RecorderError, match=refused):
        History.load(run).to_csv(run / through)
    done = CliRunner().invoke(app, ["report", str(run), "-o", str(run / through)])
    assert (done.exit_code, len(done.output.splitlines())) == (1, 1)
    assert record.read_bytes() == old
    assert len(list(run.iterdir())) == 1 + (through != record.name)


def test_a_device_is_written_to(tmp_path):
    code = (
        "from layerwise import LayerwiseError\nfrom layerwise._files import written_whole\n"
        "with written_whole('/dev/stdout', 'It', LayerwiseError) as file: file.write(b'whole')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("whole", "")


def test_what_the_block_raises_is_not_hidden(tmp_path):
    def write():
        with written_whole(tmp_path / "a", "It", RecorderError) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("plot-schedule", "schedule.json", "-o", "folder.png"),
        ("plot-schedule", "schedule.json", "-o", "x" * 300 + ".png"),
        ("report", "run", "-o", "x" * 300 + ".html"),
        ("report", "run", "-o", "folder.png/file/page.html"),
        ("explain", "x" * 5000, "rules.json"),
        ("explain", "weights.npz", "rules.json", "--steps", "9" * 5000),
        ("plot-schedule", "schedule.json", "--steps", "9" * 30),
        ("plot-schedule", "deep.json"),
        ("plot-schedule", "deeper.json"),
        ("plot-schedule", "huge.json"),
        ("explain", "weights.npz", "deep.json"),
        ("explain", "weights.npz", "deeper.json"),
    ],
    ids=range(12),
)
def test_the_command_says_so_in_one_line(arguments, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    np.savez(tmp_path / "weights.npz", **{"head/kernel": np.zeros(3)})
    (tmp_path / "rules.json").write_text("{}", encoding="utf-8")
    (tmp_path / "schedule.json").write_text(json.dumps(cosine(9).to_config()), encoding="utf-8")
    (tmp_path / "huge.json").write_text("9" * 100_000, encoding="utf-8")
    for name, levels in (("deep", 400), ("deeper", 100_000)):
        brackets = f"{'[' * levels}{']' * levels}"
        (tmp_path / f"{name}.json").write_text(brackets, encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code in (1, 2), done.output
    assert "Traceback" not in done.output
    assert isinstance(done.exception, SystemExit)
    if done.exit_code == 1:
        assert len(done.output.splitlines()) == 1
        assert done.output.startswith("Error: ")
    assert len(done.output) < 30_000
    assert sorted(tmp_path.iterdir()) == before


def test_the_demo_keeps_to_one_line_too(tmp_path, monkeypatch):
    done = CliRunner().invoke(app, ["demo", "--json", str(tmp_path / ("x" * 300) / "r.json")])
    assert done.exit_code == 2
    assert "There is no folder" in " ".join(done.output.split())
    done = CliRunner().invoke(app, ["demo", "--runs", "x" * 300, "--seeds", "1", "--steps", "1"])
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert len(done.output.splitlines()) == 1


def test_the_figure_is_not_pyplots(tmp_path):
    before = Figure.savefig
    plots.save(tmp_path / "a.PDF", draw)
    assert Figure.savefig is before
    assert (tmp_path / "a.PDF").read_bytes().startswith(b"%PDF")
