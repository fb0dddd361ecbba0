"""`layerwise find --rates`: a table, rules that others take, and one line for what goes wrong."""

import json

import keras
import numpy as np
import pytest
from matplotlib.image import imread

import layerwise.keras
from layerwise import cosine
from layerwise.cli._rules import rules_of
from layerwise.finder import RatesFinding
from tests._support.rates import FINDINGS, NO_ANSWER, found
from tests.faces.test_commands import BACKEND, invoke, is_one_line, run

SEARCH = ("find", "model.keras", "data.npz", "--rates", "rules.json")


@pytest.fixture
def trainable(tmp_path, monkeypatch):
    """A compiled model of two layers and its data, in the folder to work in."""
    random = np.random.default_rng(0)
    x = random.normal(size=(256, 4)).astype("float32")
    np.savez(tmp_path / "data.npz", x=x, y=x.sum(axis=1, keepdims=True))
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    layers = [dense(8, "tanh", name="body"), dense(1, name="head")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.save(tmp_path / "model.keras")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def answers(trainable, monkeypatch):
    """Lets the search find what a test says, and keeps what it was asked."""
    asked = {}

    def let(finding):
        def find_rates(model, x, y, **options):
            asked.update(options, x=x, y=y, model=model)
            return finding

        monkeypatch.setattr(layerwise.keras, "find_rates", find_rates, raising=False)
        return asked

    return let


def test_the_rules_that_were_found_explain_the_model(trainable):
    done = run(
        *SEARCH, "--budget", "300", "--backend", BACKEND, "--json", "-o", "bands.png",
        cwd=trainable,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # A slow machine writes how far it is.
    assert all(line.startswith("Finding learning rates: ") for line in done.stderr.splitlines())
    finding = RatesFinding.from_config(json.loads(done.stdout))
    assert finding.updates <= 300
    assert [band.name for band in finding.bands] == ["body", "head"]
    assert json.loads((trainable / "rules.json").read_text()) == dict(finding.rules)
    assert imread(trainable / "bands.png").std() > 0.01
    done = run("explain", "model.keras", "rules.json", "--backend", BACKEND, cwd=trainable)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(set(FINDINGS) - {"no answer"}))
def test_a_rules_file_is_what_was_found_and_the_table_is_printed(trainable, answers, name):
    answers(FINDINGS[name])
    done = invoke(*SEARCH)
    assert done.exit_code == 0, done.output
    assert FINDINGS[name].reason in " ".join(done.output.split())
    rules = rules_of(json.loads((trainable / "rules.json").read_text()))
    assert rules == dict(FINDINGS[name].rules)


def test_options_reach_the_search(trainable, answers):
    asked = answers(found())
    invoke(
        *SEARCH, "--budget", "700", "--horizon", "250", "--batch-size", "16", "--low", "1e-5",
        "--high", "2",
    )  # fmt: skip
    wanted = {"budget": 700, "horizon": 250, "batch_size": 16, "low": 1e-5, "high": 2.0}
    assert {name: asked[name] for name in wanted} == wanted
    np.testing.assert_array_equal(asked["x"].sum(axis=1, keepdims=True), asked["y"])


def test_no_honest_answer_writes_nothing_and_ends_with_1(trainable, answers):
    (trainable / "rules.json").write_text("{}")
    answers(NO_ANSWER)
    done = invoke(*SEARCH)
    assert done.exit_code == 1
    assert done.output.startswith("No answer")
    assert (trainable / "rules.json").read_text() == "{}"


def test_rules_on_stdout_are_alone_there(trainable, answers):
    answers(found(0.3))
    done = invoke(*SEARCH[:-1], "-")
    assert rules_of(json.loads(done.stdout)) == dict(found(0.3).rules)
    assert "later layers faster (0.3)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*SEARCH, "--steps", "50"), ["--steps must not stand with --rates", "--budget"]),
        ((*SEARCH, "--method", "sweep"), ["--method must not stand with --rates"]),
        ((*SEARCH[:3], "--budget", "900"), ["--budget must stand with --rates", "--steps"]),
    ],
)
def test_options_of_the_other_search_are_refused(trainable, arguments, words):
    is_one_line(invoke(*arguments), *words)
    assert not (trainable / "rules.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--budget", "5"), ["budget of 5 updates is too small for one probe"]),
        (("--horizon", "0"), ["horizon must be a whole number of at least 1", "got 0"]),
        (("--low", "1", "--high", "0.1"), ["low=1.0", "high=0.1"]),
    ],
)
def test_a_search_that_can_not_start_is_one_line(trainable, arguments, words):
    is_one_line(invoke(*SEARCH, *arguments), *words)
    assert not (trainable / "rules.json").exists()


def test_data_that_does_not_fit_is_one_line(trainable):
    np.savez(trainable / "data.npz", x=np.zeros((8, 5)), y=np.zeros((8, 1)))
    is_one_line(invoke(*SEARCH), "x (8, 5)", "takes (None, 4)")


def test_weights_of_samples_reach_the_search(trainable, answers):
    asked = answers(found())
    np.savez("data.npz", x=np.zeros((8, 4)), y=np.zeros((8, 1)), sample_weight=np.arange(8.0))
    invoke(*SEARCH)
    np.testing.assert_array_equal(asked["sample_weight"], np.arange(8.0))


def test_a_folder_that_is_not_there_is_a_usage_error(trainable):
    done = invoke(*SEARCH[:-1], "nowhere/rules.json")
    assert done.exit_code == 2
    assert "There is no folder" in done.output


@pytest.mark.parametrize("name", ["model.keras", "data.npz", "falling.json", "link.json"])
def test_rules_do_not_replace_what_is_read(trainable, answers, name):
    asked = answers(found(0.3))
    (trainable / "falling.json").write_text(json.dumps(cosine(90).to_config()))
    (trainable / "link.json").symlink_to("falling.json")
    old = (trainable / name).read_bytes()
    done = invoke(*SEARCH[:-1], f"./{name}", "--schedule", "falling.json")
    assert done.exit_code == 1
    assert name in done.output
    assert len(done.output.splitlines()) == 1
    assert not asked  # refused before the search
    assert (trainable / name).read_bytes() == old


def test_rules_do_not_replace_the_source_of_a_model(trainable, answers):
    asked = answers(found(0.3))
    (trainable / "net.py").write_text("def make(): ...\n")
    done = invoke(*SEARCH[:-1], "net.py")
    assert done.exit_code == 1
    assert "would replace net.py" in done.output
    assert not asked


def test_rules_that_can_not_be_written_are_one_line(trainable, answers):
    answers(found(0.3))
    (trainable / "rules.json").mkdir()
    done = invoke(*SEARCH)
    assert done.exit_code in (1, 2)
    assert "Traceback" not in done.output
