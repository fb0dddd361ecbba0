"""`explain` and `find` on what a function makes, and on a Hugging Face folder."""

import json
import sys

import keras
import numpy as np
import pytest

from layerwise.finder import LRFinding
from tests.faces.test_commands import invoke, is_one_line, run

NETS = """
import torch
from torch import nn

def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

def all_three():
    model = module()
    return model, torch.optim.SGD(model.parameters(), lr=0.1), nn.functional.mse_loss

class Zoo:
    ready = module()

def broken():
    raise RuntimeError("nothing is here\\nand more")

def ends():
    raise SystemExit(0)

def talks():
    print("making it")
    return module()

three = 3
"""
NAMES = ["0.weight", "0.bias", "2.weight", "2.bias"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module of Python, rules and data."""
    (tmp_path / "own_nets.py").write_text(NETS, encoding="utf-8")
    (tmp_path / "script.py").write_text("raise SystemExit(3)", encoding="utf-8")
    (tmp_path / "rules.json").write_text('{"0": 0.5}', encoding="utf-8")
    (tmp_path / "decays.json").write_text('{"2": 0.0}', encoding="utf-8")
    x = np.random.default_rng(0).normal(size=(128, 4))
    np.savez(tmp_path / "data.npz", x=x, y=x.sum(axis=1, keepdims=True))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("own_nets", None)


@pytest.mark.parametrize("name", ["module", "all_three", "Zoo.ready", "talks"])
def test_a_module_is_explained(folder, name):
    path = list(sys.path)
    done = invoke("explain", f"own_nets:{name}", "rules.json", "--json")
    assert done.exit_code == 0, done.output
    table = json.loads(done.stdout)
    assert table["parameter"] == NAMES
    assert table["multiplier"] == [0.5, 0.5, 1.0, 1.0]
    assert sys.path == path


def test_rules_for_weight_decay_are_explained(folder):
    np.savez(folder / "weights.npz", **{"0/kernel": np.zeros(2), "2/kernel": np.zeros(3)})
    for model in ("own_nets:module", "weights.npz"):
        done = invoke("explain", model, "rules.json", "--decay-rules", "decays.json", "--json")
        assert done.exit_code == 0, done.output
        table = json.loads(done.output)
        assert set(zip(table["decay rule"], table["decay multiplier"], strict=True)) == {
            (None, 1.0),
            ("2", 0.0),
        }
    (folder / "decays.json").write_text('{"nothing": 1}', encoding="utf-8")
    wrong = invoke("explain", "weights.npz", "rules.json", "--decay-rules", "decays.json")
    is_one_line(wrong, "'nothing'")


def test_a_model_of_keras_is_made_too(folder):
    text = "import keras\ndef make():\n    return keras.Sequential([keras.Input((4,)), " + (
        "keras.layers.Dense(2, name='head')])\n"
    )
    (folder / "own_nets.py").write_text(text, encoding="utf-8")
    (folder / "rules.json").write_text('{"head": 0.5}', encoding="utf-8")
    done = invoke("explain", "own_nets:make", "rules.json", "--json")
    names = json.loads(done.output)["parameter"]
    assert [name.partition("/")[2] for name in names] == ["head/kernel", "head/bias"]
    assert keras.backend.backend()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_nets:broken", ["own_nets:broken raised RuntimeError: nothing is here"]),
        ("own_nets:ends", ["own_nets:ends raised SystemExit: 0"]),
        ("script:make", ["import script raised SystemExit: 3"]),
        ("own_nets:three", ["must give a torch.nn.Module or a keras.Model", "got int"]),
        ("own_nets:missing", ["own_nets has no missing"]),
        ("no_nets_here:make", ["import no_nets_here raised ModuleNotFoundError"]),
        (".", ["save_pretrained()", "config.json"]),
    ],
)
def test_what_makes_no_model_is_one_line(folder, name, words):
    is_one_line(invoke("explain", name, "rules.json"), *words)
    is_one_line(invoke("find", name, "data.npz"), *words)


def test_a_rate_is_found_for_a_module(folder):
    done = invoke("find", "own_nets:all_three", "data.npz", "--steps", "50", "--json")
    assert done.exit_code == 0, done.output
    ours = LRFinding.from_config(json.loads(done.stdout))
    options = ("--optimizer", "sgd", "--loss", "mse_loss", "--steps", "50", "--json")
    named = LRFinding.from_config(
        json.loads(invoke("find", "own_nets:module", "data.npz", *options).stdout)
    )
    assert ours.suggestion == pytest.approx(named.suggestion)
    assert 1e-3 < ours.suggestion < 1


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("all_three", ("--loss", "mse_loss"), ["--loss must be left out"]),
        ("all_three", ("--optimizer", "sgd"), ["--optimizer must be left out"]),
        ("module", ("--optimizer", "nope"), ["torch.optim", "'nope'"]),
        ("module", ("--loss", "nope"), ["torch.nn.functional", "'nope'"]),
    ],
)
def test_options_that_do_not_fit_a_module_are_one_line(folder, name, options, words):
    is_one_line(invoke("find", f"own_nets:{name}", "data.npz", *options), *words)


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"x": np.zeros((8, 4)), "y": np.zeros((7, 1))}, "equally long"),
        ({"x": np.zeros((8, 4)), "y": np.zeros((8, 1)), "sample_weight": np.ones(8)}, "weights"),
        ({"x": np.zeros((8, 5)), "y": np.zeros((8, 1))}, "x (8, 5)"),
        ({"x": np.array(["a"] * 8), "y": np.zeros((8, 1))}, "numpy.str_"),
    ],
)
def test_data_that_does_not_fit_a_module_is_one_line(folder, arrays, word):
    np.savez(folder / "data.npz", **arrays)
    done = invoke("find", "own_nets:all_three", "data.npz")
    is_one_line(done, word)
    assert "the model takes" not in done.output  # a module of PyTorch doesn't say


@pytest.fixture
def encoder(folder):
    """A small model of Transformers, saved, with data for it."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=8, num_labels=2,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder / "bert")
    tokens = np.random.default_rng(0).integers(0, 20, (64, 6))
    np.savez(folder / "data.npz", input_ids=tokens, labels=tokens[:, 0] % 2)
    (folder / "rules.json").write_text('{"bert": 0.1}', encoding="utf-8")
    return folder


def test_a_folder_of_hugging_face_is_explained_and_searched(encoder):
    done = run("explain", "bert", "rules.json", "--json", cwd=encoder)
    assert done.returncode == 0, done.stderr
    table = json.loads(done.stdout)
    assert table["parameter"][-2:] == ["classifier.weight", "classifier.bias"]
    assert table["multiplier"][0] == 0.1
    done = run("find", "bert", "data.npz", "--steps", "12", "--method", "sweep", "--json",
               cwd=encoder)  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert len(LRFinding.from_config(json.loads(done.stdout)).rates) <= 12


@pytest.mark.parametrize("text", ["{", '{"architectures": ["NoSuchModel"]}', "{}"])
def test_a_folder_without_a_known_model_is_one_line(encoder, text):
    (encoder / "bert" / "config.json").write_text(text, encoding="utf-8")
    is_one_line(invoke("explain", "bert", "rules.json"), "config.json")


def test_a_table_in_a_pipe_has_no_padding(folder):
    done = run("explain", "own_nets:module", "rules.json", cwd=folder)
    lines = done.stdout.splitlines()
    assert any("0.weight" in line for line in lines)
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize(
    "arguments", [("retport",), ("explain",), ("explain", "nope.npz", "rules.json")]
)
def test_an_error_of_usage_is_one_line_and_ends_with_2(folder, arguments):
    done = invoke(*arguments)
    assert done.exit_code == 2
    [line] = done.output.splitlines()
    assert line.startswith("Error: ")
    assert line.endswith(" --help.")


def test_what_a_framework_raises_is_one_line(folder, monkeypatch):
    def fails(*_args, **_options):
        raise RuntimeError("a kernel\nwas not found")

    monkeypatch.setattr("layerwise.cli._explain.plan_of", fails)
    done = invoke("explain", "own_nets:module", "rules.json")
    is_one_line(done, "Error: RuntimeError: a kernel was not found")


def test_completion_can_be_installed(folder, monkeypatch):
    # Typer would look for a shell among the processes above, and there may be none.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert "--install-completion" in invoke("--help").output
    assert "_LAYERWISE_COMPLETE" in run("--show-completion", "bash", cwd=folder).stdout
