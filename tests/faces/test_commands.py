"""explain, find, plot-schedule and report, as a shell runs them, with good and bad input."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from layerwise import cosine, inverse_sqrt, layer_decay, linear, warmup
from layerwise.cli import app
from layerwise.finder import LRFinding
from layerwise.multipliers import rules_to_config
from layerwise.recorder import Recorder

COMMAND = Path(sysconfig.get_path("scripts")) / "layerwise"
BACKEND = keras.backend.backend()
SCHEDULE = warmup(10) >> cosine(90)


def run(*arguments, cwd, stdin=None):
    """The installed command, started anew."""
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        input=stdin,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100", "MPLBACKEND": "Agg"},
    )


def invoke(*arguments):
    """The same in this process, which is faster."""
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a schedule, rules, and weights."""
    write(tmp_path / "schedule.json", SCHEDULE.to_config())
    write(tmp_path / "rules.json", {"backbone": 0.1, "head": SCHEDULE.to_config()})
    arrays = {"backbone/kernel": np.zeros((4, 3)), "head/kernel": np.zeros((3, 1))}
    np.savez(tmp_path / "model.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, data):
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def is_one_line(done, *words):
    assert done.exit_code == 1, done.output
    assert done.output.startswith("Error: ")
    assert len(done.output.splitlines()) == 1
    assert "Traceback" not in done.output
    for word in words:
        assert word in done.output


@pytest.mark.parametrize("name", ["demo", "explain", "find", "plot-schedule", "report"])
def test_help_of_every_command_has_an_example(name):
    done = invoke(name, "--help")
    assert done.exit_code == 0
    assert f"Example: layerwise {name} " in done.output
    assert name in invoke("--help").output


def test_a_keras_model_is_explained(folder):
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(3, name="backbone")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(hidden))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.save(folder / "model.keras")
    done = run(
        "explain", "model.keras", "rules.json", "--steps", "0,10", "--backend", BACKEND,
        "--json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""
    table = json.loads(done.stdout)
    assert table["parameter"] == ["backbone/kernel", "backbone/bias", "head/kernel", "head/bias"]
    assert table["rule"] == ["backbone", "backbone", "head", "head"]
    assert table["rate @ 0"] == [0.05, 0.05, 0.0, 0.0]
    assert table["rate @ 10"] == [0.05, 0.05, 0.5, 0.5]


def test_weights_are_explained_in_a_table(folder):
    done = run("explain", "model.npz", "rules.json", "--rate", "0.01", cwd=folder)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if "backbone/kernel" in line]
    assert line.split() == ["backbone/kernel", "4x3", "backbone", "0.1", "1e-3"]


def test_sentences_of_an_error_stand_side_by_side(folder):
    write(folder / "wrong.json", {"backbone": 0.1, "hand": 0.1})
    done = invoke("explain", "model.npz", "wrong.json")
    is_one_line(done, "nearest 'head'. Correct the keys")


def test_rules_come_from_stdin_too(folder):
    done = run("explain", "model.npz", "-", "--json", cwd=folder, stdin='{"head": 2}')
    assert json.loads(done.stdout)["multiplier"] == [1.0, 2.0]


def test_rules_that_begin_with_a_mark_of_their_encoding_are_read(folder):
    (folder / "marked.json").write_text('{"head": 2}', encoding="utf-8-sig")
    done = invoke("explain", "model.npz", "marked.json", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["multiplier"] == [1.0, 2.0]


@pytest.mark.parametrize("nested", [False, True])
def test_a_state_dict_is_explained_without_its_buffers(folder, nested):
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential()
    for name, layer in {"embed": torch.nn.Linear(4, 3), "norm": torch.nn.BatchNorm1d(3),
                        "head": torch.nn.Linear(3, 1)}.items():  # fmt: skip
        model.add_module(name, layer)
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3} if nested else state, folder / "model.pt")
    rules = write(folder / "decay.json", rules_to_config([layer_decay(0.5), {"embed": 0}]))
    done = invoke("explain", folder / "model.pt", rules, "--json")
    assert done.exit_code == 0, done.output
    table = json.loads(done.output)
    assert table["parameter"] == [f"module.{name}" for name, _ in model.named_parameters()]
    assert table["multiplier"] == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]


def test_safetensors_are_explained_but_know_no_order(folder):
    numpy = pytest.importorskip("safetensors.numpy")
    arrays = {"embed.weight": np.zeros((4, 3)), "head.weight": np.zeros((3, 1))}
    numpy.save_file(arrays, folder / "model.safetensors")
    rules = write(folder / "own.json", {"embed": 0.5})
    done = invoke("explain", folder / "model.safetensors", rules, "--json")
    assert json.loads(done.output)["multiplier"] == [0.5, 1.0]
    decay = write(folder / "decay.json", rules_to_config(layer_decay(0.5)))
    is_one_line(invoke("explain", folder / "model.safetensors", decay), "order", '"layers"')
    layers = layer_decay(0.5, layers=["embed", "head"])
    decay = write(folder / "decay.json", rules_to_config(layers))
    done = invoke("explain", folder / "model.safetensors", decay, "--json")
    assert json.loads(done.output)["multiplier"] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ('{"backbne": 1}', ("'backbne'", "backbone")),
        ('{"backbone": -1}', ("'backbone'", "-1")),
        ('{"backbone": NaN}', ("'backbone'", "nan")),
        ('{"backbone": 1, "backbone": 2}', ("'backbone'", "twice")),
        ('{"backbone": {"version": 9, "schedule": {}}}', ("version 9",)),
        ('{"version": 1, "rules": {"strategy": {"name": "magic"}}}', ("magic",)),
        ("[1]", ("must map names",)),
        ("{", ("rules.json is no JSON",)),
    ],
)
def test_bad_rules_are_one_line(folder, rules, words):
    (folder / "rules.json").write_text(rules, encoding="utf-8")
    is_one_line(invoke("explain", folder / "model.npz", folder / "rules.json"), *words)


def test_bad_rules_end_the_installed_command_with_1(folder):
    write(folder / "rules.json", {"nothing": 0.1})
    done = run("explain", "model.npz", "rules.json", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_rule_without_a_match_can_be_allowed(folder):
    write(folder / "rules.json", {"nothing": 0.1})
    done = invoke("explain", folder / "model.npz", folder / "rules.json", "--no-strict", "--json")
    assert json.loads(done.output)["rule"] == [None, None]


@pytest.mark.parametrize("suffix", [".keras", ".pt", ".safetensors", ".npz", ".onnx"])
def test_a_damaged_model_is_one_line(folder, suffix):
    file = folder / f"bad{suffix}"
    file.write_text("nothing", encoding="utf-8")
    is_one_line(invoke("explain", file, folder / "rules.json"), f"bad{suffix}")


def test_a_pickled_model_is_not_run(folder):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 1), folder / "whole.pt")
    done = invoke("explain", folder / "whole.pt", folder / "rules.json")
    is_one_line(done, "whole.pt", "state_dict()")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing.npz", "rules.json"),
        ("model.npz", "nothing.json"),
        ("model.npz", "rules.json", "--steps", "ten"),
        ("model.npz", "rules.json", "--steps=-1"),
        ("model.npz", "rules.json", "--match", "suffix"),
        ("model.npz", "rules.json", "--rate=-1"),
        ("model.npz", "rules.json", "--rate=nan"),
        ("model.npz", "rules.json", "--rate=inf"),
        ("model.npz", "rules.json", "--backend", "theano"),
        ("model.npz",),
    ],
)
def test_bad_arguments_of_explain_are_a_usage_error(folder, arguments):
    done = invoke("explain", *arguments)
    assert done.exit_code == 2
    assert done.output.splitlines()[-1].startswith("Error: ")
    assert folder.is_dir()


def test_a_schedule_is_drawn(folder):
    done = run("plot-schedule", "schedule.json", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "schedule.png\n", "")
    picture = imread(folder / "schedule.png")
    assert picture.shape[:2] == (800, 1280)
    assert picture[..., :3].std() > 0.05
    assert picture[0, 0].tolist() == [1.0, 1.0, 1.0, 1.0]


def test_a_picture_can_be_transparent(folder):
    config = folder / "schedule.json"
    invoke("plot-schedule", config, "-o", folder / "clear.png", "--transparent")
    assert imread(folder / "clear.png")[0, 0, 3] == 0


def test_a_schedule_comes_from_stdin_and_becomes_svg(folder):
    text = json.dumps(inverse_sqrt(10).to_config())
    done = run("plot-schedule", "-", "--steps", "50", "-o", "own.svg", cwd=folder, stdin=text)
    assert (done.returncode, done.stdout) == (0, "own.svg\n")
    assert "<svg" in (folder / "own.svg").read_text(encoding="utf-8")


def test_a_schedule_s_values_are_data(folder):
    done = invoke("plot-schedule", folder / "schedule.json", "--json")
    data = json.loads(done.output)
    assert data["schedule"] == "warmup(10) >> cosine(90)"
    assert data["steps"] == list(range(101))
    assert data["values"] == [SCHEDULE(step) for step in range(101)]
    assert not list(folder.glob("*.png"))


def test_a_schedule_by_tokens_is_over_tokens(folder):
    config = folder / "tokens.json"
    config.write_text(json.dumps((0.5 * linear(4).by("tokens")).to_config()), encoding="utf-8")
    done = invoke("plot-schedule", config, "--json", "-o", folder / "tokens.png")
    data = json.loads(done.stdout)
    assert (data["counted"], data["steps"]) == ("tokens", [0, 1, 2, 3, 4])
    assert data["values"] == [0.5, 0.375, 0.25, 0.125, 0.0]
    assert (folder / "tokens.png").exists()


def test_what_a_recorder_saved_is_a_schedule_too(folder):
    with Recorder(folder / "run") as recorder:
        recorder.save_schedule(SCHEDULE)
    done = invoke("plot-schedule", folder / "run" / "schedule.json", "--json", "--steps", "4")
    assert json.loads(done.output)["values"] == [SCHEDULE(step) for step in range(5)]


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"backbone": 0.1}, "schedule's config"),
        ({"version": 1, "schedule": {"name": "magic", "arguments": {}}}, "magic"),
        ({"version": 1, "schedule": {"name": "warmup", "arguments": {"steps": -1, "start": 0}}},
         "steps"),
        (inverse_sqrt(10).to_config(), "never ends"),
    ],
)  # fmt: skip
def test_a_bad_schedule_is_one_line(folder, config, word):
    is_one_line(invoke("plot-schedule", write(folder / "bad.json", config)), word)
    assert not list(folder.glob("*.png"))


@pytest.mark.parametrize(
    "arguments",
    [("nothing.json",), ("schedule.json", "-o", "picture.bmp"), ("schedule.json", "--steps", "0"),
     ("schedule.json", "-o", "nowhere/picture.png")],
)  # fmt: skip
def test_bad_arguments_of_plot_schedule_are_a_usage_error(folder, arguments):
    done = invoke("plot-schedule", *arguments)
    assert done.exit_code == 2
    assert not list(folder.glob("*.png"))


def test_a_report_is_written(folder):
    with Recorder(folder / "run") as recorder:
        recorder.log_many({"step": step, "loss": 1 / (1 + step), "rate": 0.1} for step in range(9))
    done = run("report", "run", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "run/report.html\n", "")
    assert "</html>" in (folder / "run" / "report.html").read_text(encoding="utf-8")
    done = invoke("report", "run", "run", "-o", "both.html")
    assert (done.exit_code, done.output) == (0, "both.html\n")
    done = invoke("report", "run", "run", "-o", ".")
    assert (done.exit_code, done.output) == (0, "report.html\n")


def test_a_report_of_no_run_is_one_line(folder):
    is_one_line(invoke("report", folder), "record")
    assert not list(folder.glob("*.html"))


@pytest.mark.parametrize(
    "arguments", [(), ("nowhere",), (".", "-o", "nowhere/report.html"), (".", "-o", "-")]
)
def test_bad_arguments_of_report_are_a_usage_error(folder, arguments):
    assert invoke("report", *arguments).exit_code == 2
    assert folder.is_dir()


@pytest.fixture
def trainable(folder):
    """A compiled model and data for it."""
    random = np.random.default_rng(0)
    x = random.normal(size=(256, 4)).astype("float32")
    np.savez(folder / "data.npz", x=x, y=x.sum(axis=1, keepdims=True))
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.save(folder / "model.keras")
    return folder


def test_a_rate_is_found(trainable):
    done = run(
        "find", "model.keras", "data.npz", "--steps", "50", "--backend", BACKEND,
        "--json", "-o", "curve.png", cwd=trainable,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # A slow machine writes how far it is.
    assert all(line.startswith("Finding a ") for line in done.stderr.splitlines())
    found = LRFinding.from_config(json.loads(done.stdout))
    assert 1e-2 < found.suggestion < 2
    assert len(found.rates) <= 50
    assert imread(trainable / "curve.png").std() > 0.01


def test_a_found_rate_is_said_in_words(trainable):
    done = invoke("find", "model.keras", "data.npz", "--method", "sweep")
    assert done.exit_code == 0
    assert done.output.startswith("Suggestion: ")


@pytest.mark.parametrize(
    ("given", "schedule"),
    [
        ("constant", "constant"),
        ("shape.json", "cosine(400)"),
        ("saved.json", "cosine(400)"),
        (None, "falling"),
    ],
)
def test_a_rate_is_found_for_a_training_of_a_shape(trainable, given, schedule):
    config = cosine(400).to_config()
    (trainable / "shape.json").write_text(json.dumps(config))
    saved = {"layerwise": "schedule", "config": config}
    (trainable / "saved.json").write_text(json.dumps(saved))
    wanted = () if given is None else ("--schedule", given)
    done = invoke("find", "model.keras", "data.npz", "--steps", "50", "--json", *wanted)
    assert json.loads(done.output)["schedule"] == schedule


def test_no_honest_answer_ends_with_1(trainable):
    x = np.zeros((64, 4), "float32")
    np.savez(trainable / "data.npz", x=x, y=np.zeros((64, 1)))
    done = invoke("find", "model.keras", "data.npz", "--steps", "50")
    assert done.exit_code == 1
    assert done.output.startswith("No suggestion")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--low", "1", "--high", "0.1"), ["low=1.0", "high=0.1"]),
        (("--steps", "3"), ["steps must be a whole number of at least 10", "got 3"]),
        (("--schedule", "rising"), ["schedule must be one of 'falling', 'constant'", "'rising'"]),
        (("--method", "guess"), ["method must be one of 'probe', 'sweep'", "got 'guess'"]),
    ],
)
def test_a_search_that_can_not_start_is_one_line(trainable, arguments, words):
    is_one_line(invoke("find", "model.keras", "data.npz", *arguments), *words)


def test_data_without_targets_is_one_line(trainable):
    np.savez(trainable / "data.npz", x=np.zeros((8, 4)))
    is_one_line(invoke("find", "model.keras", "data.npz"), "data.npz", "x and y")


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((8, 5)), np.zeros((8, 1)), ["x (8, 5)", "y (8, 1)", "takes (None, 4)"]),
        (np.zeros((8, 4)), np.zeros((8, 3, 2)), ["y (8, 3, 2)", "gives (None, 1)"]),
        (np.array(["a"] * 8), np.zeros((8, 1)), ["x (8,) <U1"]),
        (np.zeros(()), np.zeros((8, 1)), ["x () float64"]),
        (np.zeros((8, 4)), np.zeros((7, 1)), ["8", "7"]),
    ],
    ids=["x", "y", "text", "no dimension", "lengths"],
)
def test_data_that_does_not_fit_is_one_line(trainable, x, y, words):
    """Whatever the backend raises, it says what the file has and what the model takes."""
    np.savez(trainable / "data.npz", x=x, y=y)
    is_one_line(invoke("find", "model.keras", "data.npz", "--method", "sweep"), *words)


def test_a_model_that_is_not_compiled_is_one_line(trainable):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save("plain.keras")
    is_one_line(invoke("find", "plain.keras", "data.npz"), "not compiled", "model.compile")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nowhere.keras", "data.npz"),
        ("model.keras", "data.npz", "-o", "curve.txt"),
        ("model.keras", "data.npz", "--backend", "theano"),
        ("model.keras", "data.npz", "--batch-size", "0"),
    ],
)
def test_bad_arguments_of_find_are_a_usage_error(trainable, arguments):
    assert invoke("find", *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("demo", "--backend", "theano"), 2, "theano"),
        (("explain", "nowhere.npz", "rules.json"), 2, "nowhere.npz"),
        (("find", "model.npz", "model.npz"), 1, "module:factory"),
        (("plot-schedule", "rules.json"), 1, "version"),
        (("report", "."), 1, "record"),
        (("retport",), 2, "retport"),
    ],
)
def test_the_installed_command_refuses_bad_input(folder, arguments, status, word):
    done = run(*arguments, cwd=folder)
    assert done.returncode == status
    assert done.stdout == ""
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert status == 2 or len(done.stderr.splitlines()) == 1
