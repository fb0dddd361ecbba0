"""The command `layerwise`: it starts fast, runs the demo, and refuses bad input in one line."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import layerwise
from layerwise import cosine
from layerwise.cli import app
from tests.house.test_purity import heavy_after

BACKEND = keras.backend.backend()
OTHER = "torch" if BACKEND != "torch" else "jax"
COMMAND = Path(sys.executable).with_name("layerwise")


def invoke(*arguments):
    return CliRunner().invoke(app, arguments)


def helped(*arguments):
    """A statement that asks for help, its text kept out of the way."""
    return (
        "import contextlib, io\n"
        "from layerwise.cli import app\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    app({list(arguments)})"
    )


def test_the_installed_command_runs_the_demo(tmp_path):
    file = tmp_path / "results.json"
    done = subprocess.run(
        [COMMAND, "demo", "--backend", BACKEND, "--seeds", "1", "--steps", "2", "--json", file],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
        cwd=tmp_path,
    )
    data = json.loads(file.read_text(encoding="utf-8"))
    assert data["backend"] == BACKEND
    line = re.compile(r".+: [\d,]+ of [\d,]+, (about|done after|.+ left at most).*")
    assert all(map(line.fullmatch, done.stderr.splitlines())), done.stderr
    assert "network/head/kernel" in done.stdout
    lines = done.stdout.splitlines()
    for way in data["ways"]:
        [line] = [line for line in lines if line[2:].startswith(way["way"])]
        numbers = re.fullmatch(r".*? ([\d.e-]+) +([\d.]+) +([\d.]+)(?: +\d of \d)? *", line)
        assert numbers is not None
        rate, loss, accuracy = map(float, numbers.groups())
        assert rate == float(f"{way['rate']:.2g}")  # 0.012, or 8.5e-3
        assert (loss, accuracy) == (round(way["loss"], 3), round(way["accuracy"], 3))
    assert "one draw says little." in " ".join(done.stdout.split())
    assert done.stdout.endswith("runs/demo-jax/report.html\n")
    assert sorted(path.name for path in (tmp_path / "runs" / "demo-jax").iterdir()) == [
        "finder.png",
        "found.png",
        "from-scratch",
        "frozen-backbone",
        "layer-wise-rates",
        "probes.png",
        "rates-found",
        "rates.png",
        "report.html",
        "single-rate",
    ]


def test_python_dash_m_runs_it_too():
    done = subprocess.run(
        [sys.executable, "-m", "layerwise.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"layerwise {layerwise.__version__}\n"


def test_demo_is_a_subcommand_and_help_has_an_example():
    done = invoke("--help")
    assert done.exit_code == 0
    assert "demo" in done.output
    assert "layerwise demo --backend torch" in done.output
    assert "layerwise demo" in invoke("demo", "--help").output


def test_without_arguments_there_is_help():
    assert "Fine-tune with few labels" in invoke().output


@pytest.mark.parametrize("arguments", [("--help",), ("demo", "--help"), ("--version",)])
def test_help_loads_no_framework(arguments):
    assert heavy_after(helped(*arguments)) <= {"rich", "typer"}


def test_a_framework_loaded_by_help_would_be_seen():
    assert "optax" in heavy_after(f"{helped('--help')}\nimport optax")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("command", ["explain", "plot-schedule"])
def test_a_pipe_is_a_file_to_read(tmp_path, command):
    """As a shell's ``<(command)`` gives one."""
    np.savez(tmp_path / "model.npz", head=np.zeros(3))
    os.mkfifo(tmp_path / "pipe")
    text = json.dumps({"head": 0.5} if command == "explain" else cosine(10).to_config())
    writing = threading.Thread(target=(tmp_path / "pipe").write_text, args=[text], daemon=True)
    writing.start()
    given = (str(tmp_path / "model.npz"),) if command == "explain" else ()
    picture = tmp_path / "curve.png"
    options = ("-o", str(picture)) if command == "plot-schedule" else ()
    done = invoke(command, *given, str(tmp_path / "pipe"), *options)
    assert done.exit_code == 0, done.output
    assert picture.exists() if options else "0.5" in done.output


def test_what_is_refused_is_a_sentence_of_its_own():
    assert "equal to 1. See" in invoke("demo", "--seeds", "0").output.replace("\n", " ")


def test_the_list_of_commands_is_not_cut_off():
    _, _, commands = invoke("--help").output.partition("Commands:")
    assert "demo" in commands
    assert "..." not in commands


def test_an_unknown_backend_names_the_choices():
    done = invoke("demo", "--backend", "theano")
    assert done.exit_code == 2
    assert all(name in done.output for name in ("theano", "jax", "tensorflow", "torch"))


@pytest.mark.parametrize("option", ["--seeds", "--steps"])
@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_bad_count_is_refused(option, value):
    done = invoke("demo", option, value)
    assert done.exit_code == 2
    assert option in done.output


def test_a_file_in_no_folder_is_refused_before_training(tmp_path):
    done = invoke("demo", "--json", str(tmp_path / "nowhere" / "results.json"))
    assert done.exit_code == 2
    assert "There is no folder" in done.output


@pytest.mark.parametrize("package", ["mlxtend", "sklearn", "keras"])
def test_a_missing_package_names_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    done = invoke("demo")
    assert done.exit_code == 1
    name = {"sklearn": "scikit-learn"}.get(package, package)
    assert done.output == f'Error: The demo needs {name}: pip install "layerwise[demo]".\n'


def test_a_missing_backend_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    done = invoke("demo", "--backend", "tensorflow")
    assert done.exit_code == 1
    assert 'pip install "layerwise[demo,tensorflow]"' in done.output


def test_keras_on_another_backend_is_an_error():
    done = invoke("demo", "--backend", OTHER)
    assert done.exit_code == 1
    assert f"Keras already runs on {BACKEND}" in done.output
    assert len(done.output.splitlines()) == 1


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra_the_command_says_so(package):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.modules[{package!r}] = None; import layerwise.cli",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"The command layerwise needs {package}")
    assert 'pip install "layerwise[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pipe_gets_utf_8_where_the_system_writes_something_else(tmp_path):
    """As on Windows, whose own encoding has no rule for a table."""
    np.savez(tmp_path / "model.npz", größe=np.zeros(3))
    done = subprocess.run(
        [COMMAND, "explain", "model.npz", "-"],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        input='{"größe": 0.5}'.encode(),
    )
    lines = done.stdout.decode("utf-8").splitlines()
    assert set(lines[1].strip()) == {"─"}
    assert lines[2].split() == ["größe", "3", "größe", "0.5"]
