"""Names that steer a terminal, that no encoding writes, or that begin a formula, are only text."""

import csv
import json
import os
import warnings

import numpy as np
import pytest
from matplotlib import pyplot
from typer.testing import CliRunner

from layerwise import LayerwiseError, cosine, from_function, layer_decay, plots
from layerwise._plan_table import plan_text
from layerwise._text import name_text, printable, shorten, shown
from layerwise.cli import app
from layerwise.finder import QuadraticTrainer, search
from layerwise.multipliers import Parameter, resolve
from layerwise.recorder import History, Recorder
from layerwise.report import write_report
from tests._support.pictures import axes

NAMES = {
    "a terminal's escape": "layer\x1b[2J\x1b]0;title\x07",
    "a lone surrogate": os.fsdecode(b"layer\xff"),
    "another surrogate": "layer\ud800",
    "a line's end": "layer\nfake row\r",
    "the other direction": "layer\u202eladder",
    "a null": "layer\x00",
    "a formula": "layer$x$",
    "a broken formula": "layer$\\frac{$",
    "a dollar": "layer$",
    "an escaped dollar": "layer\\$x\\$y$",
    "markup": "[bold]layer[red]",
    "an underscore": "_layer",
    "a megabyte": "layer" * 200_000,
}

every_name = pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    pyplot.close("all")


def named(name):
    """A function of this name."""

    def function(step):
        return 1.0 + 0.0 * step

    function.__name__ = function.__qualname__ = name
    return function


def assert_is_text(text):
    assert text.replace("\n", " ").isprintable()
    assert text.encode("utf-8").decode() == text
    assert len(text) <= 20_000


def names_a_file(name):
    try:
        return b"\0" not in os.fsencode(name) and len(name) < 100
    except UnicodeEncodeError:
        return False


def texts_in(ax):
    """Every text that a picture shows."""
    figure = ax.figure
    found = [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts, *ax.get_yticklabels()]
    found += [ax._left_title, ax._right_title]
    for one in figure.axes:
        found += one.get_legend().get_texts() if one.get_legend() else []
        found.append(one.yaxis.label)
    return found


def assert_draws(ax):
    """It draws without a warning, and each text is drawn as it reads."""
    ax.figure.canvas.draw()
    for text in texts_in(ax):
        assert_is_text(text.get_text())
        if "layer" in text.get_text():
            assert text._preprocess_math(text.get_text())[0] == text.get_text()
            assert text._preprocess_math(text.get_text())[1] is False


def plan_of(name, **given):
    names = [f"{name}/kernel", f"{name}/bias", "head/kernel"]
    rules = {f"{name}/": 0.1, "head": named(name)}
    return resolve(map(Parameter, names), rules, learning_rate=1e-3, **given)


@every_name
def test_a_plan_as_a_table(name):
    for plan in (plan_of(name), plan_of(name, schedule=from_function(named(name)))):
        assert_is_text(str(plan))
        assert_is_text(repr(plan))
    many = resolve([Parameter(f"{name}/{i}/{w}") for i in range(50) for w in "ab"], {name: 0.5})
    assert_is_text(str(many))
    if len(name) < 100:
        assert name_text(f"{name}/kernel") in plan_text(plan, 300)


@every_name
def test_pictures_of_plans_and_schedules(name):
    plan = plan_of(name)
    assert_draws(plots.plan(plan, 20, ax=axes()))
    assert_draws(plots.heat_map(plan, 20, ax=axes()))
    schedule = from_function(named(name), name=name, length=10)
    ax = plots.schedule(schedule, ax=axes())
    plots.schedule(cosine(10), ax=ax)
    assert_draws(ax)


@every_name
def test_pictures_of_runs(name):
    steps = np.arange(30)
    columns = {"step": steps, "loss": 1.0 / (1 + steps), name: 1.0 * steps}
    run = History(columns | {f"rates/{name}": 0.1 + 0.0 * steps}, name=name)
    ax = axes()
    assert_draws(plots.history(run, ax=ax))
    assert_draws(plots.compare([run, run], ax=axes()))
    assert_draws(plots.compare([run], ax=axes(), column=name))
    with pytest.raises(LayerwiseError) as caught:
        plots.compare([run], column="nothing")
    assert_is_text(str(caught.value))


def test_a_finding_is_drawn_as_it_reads():
    found = search(QuadraticTrainer(), range(100), method="sweep", progress=False)
    assert_draws(plots.finding(found, ax=axes()))


@every_name
def test_a_table_in_a_file(name, tmp_path):
    file = tmp_path / "table.csv"
    History({"step": [0, 1], "loss": [2.0, 1.0], name: [0.5, 0.25]}).to_csv(file)
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.reader(opened)) if len(name) < 100_000 else []
    if rows:
        assert rows[0] == ["step", "loss", name.encode("utf-8", "backslashreplace").decode()]
        assert len(rows) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@every_name
def test_an_error_is_one_text(name):
    for attempt in (
        lambda: resolve([Parameter(name)], {"other": 0.5}),
        lambda: resolve([Parameter("a")], {name: 0.5}),
        lambda: resolve([Parameter(name)], {name: -1}),
        lambda: resolve([Parameter(name)], {name: lambda step: name}).multipliers(0),
        lambda: resolve([Parameter(name)], layer_decay(0.5, layers=[name, name])),
        lambda: from_function(named(name)).to_config(),
        lambda: from_function(named(name)) >> cosine(5),
        lambda: cosine(name),
        lambda: cosine(5)(name),
        lambda: cosine.from_config({"version": 1, "schedule": {"name": name, "arguments": {}}}),
        lambda: History.load(name),
    ):
        try:
            attempt()
        except LayerwiseError as error:
            said = str(error)
        else:
            said = ""
        assert_is_text(said)


@every_name
def test_the_command(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({name: 0.5}), encoding="utf-8")
    weights = tmp_path / "weights.npz"
    np.savez(weights, **{"head/kernel": np.zeros(3)})
    done = CliRunner().invoke(app, ["explain", str(weights), str(rules), "--no-strict"])
    assert (done.exit_code, done.exception) == (0, None)
    done = CliRunner().invoke(app, ["explain", str(weights), str(rules)])
    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 1
    assert_is_text(done.output)
    if not names_a_file(name):
        return
    for path in (f"{name}.npz", f"{name}.pt", f"{name}.keras", f"{name}.what"):
        (tmp_path / path).write_bytes(b"no weights")
        done = CliRunner().invoke(app, ["explain", path, str(rules)])
        assert done.exit_code == 1
        assert len(done.output.splitlines()) == 1, done.output
        assert_is_text(done.output)
    (tmp_path / f"{name}.json").write_text(json.dumps(cosine(9).to_config()), encoding="utf-8")
    done = CliRunner().invoke(app, ["plot-schedule", f"{name}.json"])
    assert (done.exit_code, done.exception) == (0, None)
    assert_is_text(done.output)
    assert (tmp_path / f"{name}.png").exists()


def test_what_is_shown_of_a_value():
    assert shown("a  b") == "'a  b'"
    assert shown([1, (2,), {"a": {}}]) == "[1, (2,), {'a': {}}]"
    assert shown(np.ones((2, 2))) == "array([[1., 1.], [1., 1.]])"
    assert shown(10**5000) == "a whole number of 16610 bits"
    assert len(shown("x" * 10**7)) <= 500
    assert len(shown([["x" * 1000] * 1000] * 1000)) <= 500

    class Broken:
        def __repr__(self):
            raise RuntimeError

    assert shown(Broken()) == "<Broken>"
    deep = []
    for _ in range(10_000):
        deep = [deep]
    assert shown(deep) == "[[[[[[[…]]]]]]]"
    assert shorten("abcdef", 5) == "ab…ef"
    assert printable("Größe 漢字 🙂") == "Größe 漢字 🙂"


def test_a_run_of_any_name_has_a_report_or_an_error(tmp_path):
    for number, name in enumerate(NAMES.values()):
        if not names_a_file(name):
            with pytest.raises(LayerwiseError):
                Recorder(tmp_path / name)
            with pytest.raises(LayerwiseError):
                History.load(tmp_path / name)
            continue
        folder = tmp_path / name
        with Recorder(folder) as recorder:
            recorder.log(step=0, loss=1.0)
        target = tmp_path / f"reports-{number}"
        target.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            page = write_report(folder, target / "page.html")
        page.read_text(encoding="utf-8")
        assert [path.name for path in target.iterdir()] == ["page.html"]
