"""What the page says first, and what it says without a picture."""

import numpy as np
import pytest

from layerwise import cosine
from layerwise.multipliers import Parameter, resolve
from layerwise.recorder import History, Recorder
from layerwise.report import write_report
from layerwise.report._about import clocks, comparison, title_of, verdict
from layerwise.report._direction import less_is_better
from layerwise.report._run import Run
from tests.report.test_page import drawn, figures, read

STEPS = np.arange(100)


def run(loss, epoch=None, name="a", number=0, **batch):
    columns = {"step": np.arange(len(loss)), "loss": loss, **batch}
    return Run(number, name, History(columns, epoch or {}, name=name))


FALLS = np.full(100, 2.0) - STEPS / 100


@pytest.mark.parametrize(
    ("loss", "epoch", "words"),
    [
        (FALLS, {}, ["The loss fell from 2 to 1.02", "by step 99"]),
        (FALLS[::-1], {}, ["The loss rose from 1.01 to 2"]),
        (np.ones(100), {}, ["The loss stayed at 1 by"]),
        (np.append(FALLS, np.nan), {}, ["Training broke", "at step 99"]),
        (np.full(9, np.nan), {}, ["No finite loss"]),
        (
            FALLS,
            {"epoch": [0, 1, 2], "step": [30, 60, 90], "val_loss": [2.0, 1.0, 1.5]},
            ["lowest at step 60, 1, and ended at 1.5: what came after it did not help"],
        ),
        (
            FALLS,
            {"epoch": [0, 1], "step": [30, 60], "val_loss": [2.0, 1.0], "val_f1": [0.9, 0.5]},
            ["ended at its lowest, 1.", "Best val_f1: 0.9 at step 30"],
        ),
        (FALLS, {"epoch": [0, 1], "val_mae": [3.0, 2.0]}, ["Best val_mae: 2."]),
    ],
)
def test_the_verdict(loss, epoch, words):
    text = verdict(run(loss, epoch))
    assert all(part in text for part in words), text


def test_the_lowest_of_several_runs_is_named():
    both = [run(FALLS, name="one"), run(FALLS + 1, name="two")]
    assert comparison(both).startswith("one ended with the lowest loss, 1.02; two with the highest")
    assert comparison(both[:1]) == ""
    epochs = {"epoch": [0], "val_loss": [0.5]}
    held_out = [run(FALLS, {"epoch": [0], "val_loss": [0.9]}, "one"), run(FALLS, epochs, "two")]
    assert comparison(held_out).startswith("two ended with the lowest validation loss, 0.5")


def test_without_a_validation_loss_a_metric_of_the_validation_compares():
    def two(name, first, second):
        rows = [{"epoch": [0], f"val_{name}": [value]} for value in (first, second)]
        return [run(FALLS, rows[0], "one"), run(FALLS, rows[1], "two")]

    right = "two ended with the highest val_accuracy, 0.9; one with the lowest, 0.8."
    assert comparison(two("accuracy", 0.8, 0.9)) == right
    wrong = "one ended with the lowest val_error, 0.1; two with the highest, 0.2."
    assert comparison(two("error", 0.1, 0.2)) == wrong


@pytest.mark.parametrize(
    ("name", "first", "last", "words"),
    [
        ("wer", 0.95, 0.1, "Best val_wer: 0.1 at step 60."),
        ("ppl", 90.0, 8.0, "Best val_ppl: 8 at step 60."),
        ("WordErrorRate", 0.95, 0.1, "Best val_WordErrorRate: 0.1 at step 60."),
        ("fid50", 9.0, 3.0, "Best val_fid50: 3 at step 60."),
        ("f1", 0.2, 0.9, "Best val_f1: 0.9 at step 60."),
        ("NLLLoss", 0.2, 0.1, "Best val_NLLLoss: 0.1 at step 60."),
        ("genloss", 0.2, 0.1, "Best val_genloss: 0.1 at step 60."),
        ("mIoU", 0.2, 0.9, "Best val_mIoU: 0.9 at step 60."),
        ("mean_io_u", 0.2, 0.9, "Best val_mean_io_u: 0.9 at step 60."),
        ("negative_log_likelihood", 2.0, 1.0, "Best val_negative_log_likelihood: 1 at step 60."),
        ("mapping", 3.0, 1.0, "Highest val_mapping: 3 at step 30."),  # no "map", and no "ping"
        ("power", 3.0, 1.0, "Highest val_power: 3 at step 30."),  # no "wer"
    ],
)
def test_the_best_value_is_by_the_words_of_the_name(tmp_path, name, first, last, words):
    epochs = {"epoch": [0, 1], "step": [30, 60], f"val_{name}": [first, last]}
    one = run(FALLS, epochs)
    assert verdict(one).endswith(words)
    page = read(write_report(one.history, tmp_path / "page.html"))
    assert any(f"{words[:4].lower()}" in cell for cell in page.texts["td"])
    lower = run(FALLS, epochs | {f"val_{name}": [first, 0.01]}, "lower", 1)
    text = comparison([one, lower])
    assert text.startswith("lower" if words.startswith("Best") and last < first else "a"), text


def test_an_evaluation_of_transformers_is_the_validation(tmp_path):
    speed = ["runtime", "samples_per_second", "steps_per_second", "de_runtime"]
    measured = {"eval_loss": [2.0, 1.0], "eval_wer": [0.9, 0.2], "eval_de_wer": [0.9, 0.3]}
    epochs = {"epoch": [0, 1], "step": [30, 60], **measured}
    epochs |= {f"eval_{each}": [1.0, 2.0] for each in speed}
    both = [
        History({"step": STEPS, "loss": FALLS}, epochs, name="one"),
        History({"step": STEPS, "loss": FALLS}, epochs | {"eval_loss": [2.0, 0.5]}, name="two"),
    ]
    page = read(write_report(both, tmp_path / "page.html"))
    told = " ".join(page.texts["p"])
    assert "two ended with the lowest validation loss, 0.5; one with the highest, 1." in told
    assert "Best val_wer: 0.2 at step 60" in told
    assert drawn(page) == {"picture-loss", "picture-metric-0", "picture-metric-1"}
    assert not any(each in told + "".join(page.texts["th"]) for each in speed)


def test_the_title_is_that_of_the_folders(tmp_path):
    folders = [tmp_path / "night" / name for name in ("one", "two")]
    for folder in folders:
        Recorder(folder).close()
    assert "one" in read(write_report(folders[0], tmp_path / "one.html")).texts["h1"][0]
    assert read(write_report(folders, tmp_path / "two.html")).texts["h1"] == ["night: 2 runs"]
    apart = [Run(0, "a", History(), "x"), Run(1, "b", History(), "y")]
    assert title_of(apart) == "2 training runs"


def test_what_was_run_comes_first(tmp_path):
    names = [Parameter(f"{layer}/{w}") for layer in ("body", "head") for w in ("kernel", "bias")]
    plan = resolve(names, {"body": 0.1}, learning_rate=0.1, schedule=cosine(10))
    with Recorder(tmp_path / "mine") as recorder:
        recorder.save_setup("Lion", {"weight_decay": 0.5})
        recorder.save_plan(plan)
        for step in range(10):
            recorder.log(step=step, loss=1 / (1 + step), rate=0.1)
    page = read(write_report(tmp_path / "mine", tmp_path / "page.html"))
    told = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    assert told["optimizer"] == "Lion(weight_decay=0.5)"
    assert told["rules"] == "body: 0.1"
    assert told["schedule"] == "cosine(10)"
    assert "numpy" in told["versions"]
    assert told["date"].endswith("UTC")
    assert page.ids().index("about") < page.ids().index("facts") < page.ids().index("layers")
    # Kernel and bias have equal rates, so that they share a row.
    assert figures(page)[0]["data"][0]["y"] == ["body", "head"]
    assert drawn(page) == {"picture-rates-0", "picture-loss"}  # a constant base rate is a number
    assert any("constant" in cell for cell in page.texts["td"])


def test_rows_that_differ_are_not_merged(tmp_path):
    names = [Parameter(f"{layer}/{w}") for layer in ("body", "head") for w in ("kernel", "bias")]
    with Recorder(tmp_path / "mine") as recorder:
        recorder.save_plan(resolve(names, {"body/bias": 0.1}, learning_rate=0.1), 10)
    page = read(write_report(tmp_path / "mine", tmp_path / "page.html"))
    rows = figures(page)[0]["data"][0]
    assert rows["y"] == ["body/kernel", "body/bias", "head"]
    assert [row[0] for row in rows["customdata"]] == [0.1, 0.01, 0.1]


def test_what_no_rule_says_is_told(tmp_path):
    names = [Parameter("body/kernel"), Parameter("head/kernel", trainable=False)]
    for rules, text in (
        (None, "none: one rate for all"),
        ({"body": 0.5}, "body: 0.5; 1 parameter"),
    ):
        with Recorder(tmp_path / text[:4]) as recorder:
            recorder.save_plan(resolve(names[: 1 if rules is None else 2], rules), 10)
        page = read(write_report(tmp_path / text[:4], tmp_path / "page.html"))
        told = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
        assert told["rules"].startswith(text)
    assert told["rules"].endswith("not trained")


def test_a_plan_that_never_changes_reaches_from_the_first_step_to_the_last(tmp_path):
    with Recorder(tmp_path / "run") as recorder:
        recorder.save_plan(resolve([Parameter("a"), Parameter("b")], {"b": 0.5}))
        for step in range(100):
            recorder.log(step=step, loss=1.0)
    page = read(write_report(tmp_path / "run", tmp_path / "page.html"))
    x = figures(page)[0]["data"][0]["x"]
    assert (x[0], x[-1]) == (0, 99)
    assert max(np.diff(x)) == 2  # half a column lies outside at each end


def test_groups_at_the_base_rate_have_no_picture(tmp_path):
    columns = {"step": STEPS, "rate": STEPS * 1.0, "rates/a": STEPS * 1.0}
    assert drawn(read(write_report(History(columns), tmp_path / "p.html"))) == {"picture-rate"}
    columns["rates/b"] = STEPS * 2.0
    page = read(write_report(History(columns), tmp_path / "q.html"))
    assert drawn(page) == {"picture-rate", "picture-groups-0"}
    assert all(f["layout"]["yaxis"]["rangemode"] == "tozero" for f in figures(page))


def test_one_rate_that_changes_is_drawn_beside_one_that_does_not(tmp_path):
    histories = [
        History({"step": [0, 1], "rate": r}, name=str(r)) for r in ([1.0, 1.0], [1.0, 0.5])
    ]
    assert drawn(read(write_report(histories, tmp_path / "p.html"))) == {"picture-rate"}
    assert "script" not in read(write_report(histories[0], tmp_path / "q.html")).texts


def test_groups_have_colours_of_their_own(tmp_path):
    columns = {"step": [0, 1], "loss": [2.0, 1.0], "rates/a": [1.0, 1.0], "rates/b": [0.5, 0.5]}
    page = read(write_report(History(columns), tmp_path / "p.html"))
    looks = {f["id"]: {trace["line"]["color"] for trace in f["data"]} for f in figures(page)}
    assert looks == {"picture-loss": {"@run-0"}, "picture-groups-0": {"@group-0", "@group-1"}}
    style = page.texts["style"][0]
    grounds = style.split("--surface")[1:]
    for name in ("--run-0:", "--group-0:"):
        assert style.count(name) == len(grounds) - style.count("var(--surface)")


def test_steps_have_an_epoch_and_a_time():
    one = run(
        np.ones(100),
        epoch=None,
        **{
            "time": STEPS * 2.0,
        },
    )
    two = Run(0, "b", History({"step": STEPS, "epoch": STEPS // 40, "time": np.zeros(100)}))
    assert clocks([one]) == [{"time": [STEPS.tolist(), (STEPS * 2.0).tolist()]}]
    # 40 batches make an epoch, and the third is half over.
    assert clocks([two]) == [{"epoch": [[0, 40, 80, 100], [0, 1, 2, 2.5]]}]


def test_a_clock_that_was_set_back_stands_still():
    times = np.where(STEPS < 50, STEPS, STEPS - 30.0)
    _, seconds = clocks([run(np.ones(100), time=times)])[0]["time"]
    assert (np.diff(seconds) >= 0).all()


@pytest.mark.parametrize(
    ("name", "less"),
    [("neg_mean_squared_error", False), ("neg_log_loss", False), ("false_negative_error", True)],
)
def test_what_is_negated_is_better_the_other_way(name, less):
    assert less_is_better(name) is less
