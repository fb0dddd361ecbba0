"""Rates of the layers: those that were recorded, whatever the plan says."""

import keras
import numpy as np
import pytest
import torch

from layerwise import cosine, layer_decay
from layerwise.keras import LRMultiplier
from layerwise.keras import Recorder as KerasRecorder
from layerwise.multipliers import Parameter, resolve
from layerwise.recorder import History, Recorder
from layerwise.report import write_report
from layerwise.torch import Recorder as TorchRecorder
from layerwise.torch import param_groups
from tests.report.test_page import figures, read

NAMES = [Parameter(f"{layer}/{w}") for layer in ("body", "head") for w in ("kernel", "bias")]


def heat(tmp_path, run):
    """The rows of the picture by the layer, and its caption."""
    page = read(write_report(run, tmp_path / "page.html"))
    found = [f["data"][0] for f in figures(page) if f["id"] == "picture-rates-0"]
    captions = [a["aria-label"] for a in page.attributes("div") if a.get("id") == "picture-rates-0"]
    rows = {n: r for d in found for n, r in zip(d["y"], d["customdata"], strict=True)}
    return rows, "".join(captions)


@pytest.mark.parametrize(
    ("rules", "lowest"),
    [({"a": 0.5}, "5e-6"), (layer_decay(0.5), "2.5e-6"), ({"a": 0, "b": 0.5}, "5e-6")],
)
def test_a_rate_that_a_callback_sets_in_keras(tmp_path, rules, lowest):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(2, name=name) for name in ("a", "b", "c")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(LRMultiplier(keras.optimizers.SGD(0.01), rules), loss="mse")
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch, _: 0.01 * 0.1**epoch),
        KerasRecorder(tmp_path / "run"),
    ]
    model.fit(np.ones((8, 4)), np.ones((8, 2)), 4, epochs=4, verbose=0, callbacks=callbacks)
    rows, caption = heat(tmp_path, tmp_path / "run")
    groups = History.load(tmp_path / "run").rates
    drawn = {name.partition("/")[2]: row for name, row in rows.items()}
    assert list(drawn) == ["a", "b", "c"]
    for name, row in drawn.items():
        np.testing.assert_allclose(row, groups.get(name, groups.get("default")), rtol=1e-4)
    assert f"from {lowest} to 0.01" in caption


def by_rules(model):
    return param_groups(model, {"0": 0.5}, lr=0.1)


def by_hand(model):
    return [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[1].parameters()}]


@pytest.mark.parametrize("groups", [by_rules, by_hand, torch.nn.Module.parameters])
def test_a_scheduler_of_pytorch(tmp_path, groups):
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Linear(2, 1))
    optimizer = torch.optim.SGD(groups(model), lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    used = []
    with TorchRecorder(tmp_path / "run", optimizer, model=model) as recorder:
        for _ in range(20):
            used.append([group["lr"] for group in optimizer.param_groups])
            model(torch.ones(1, 4)).sum().backward()
            optimizer.step()
            scheduler.step()
            recorder.log(loss=1.0)
    rows, _ = heat(tmp_path, tmp_path / "run")
    assert list(rows) == ["0", "1"]
    for place, row in enumerate(rows.values()):
        np.testing.assert_allclose(row, np.array(used)[:, min(place, len(used[0]) - 1)], rtol=1e-4)


def by_itself(tmp_path, *, rates=None, plan=None, parameters=NAMES):
    plan = plan or resolve(parameters, {"body": 0.1}, learning_rate=1.0, schedule=cosine(9))
    with Recorder(tmp_path / "run") as recorder:
        recorder.save_plan(plan)
        for step in range(10):
            now = None if rates is None else {name: rates[name][step] for name in rates}
            recorder.log(step=step, loss=1.0, rates=now)
    return heat(tmp_path, tmp_path / "run")


def test_a_plan_alone_is_called_one(tmp_path):
    rows, caption = by_itself(tmp_path)
    assert rows["body"][0] == 0.1
    assert "as planned before the training" in caption


def test_groups_that_the_plan_does_not_know_are_not_replaced_by_it(tmp_path):
    courses = {f"group of mine {i}": np.full(10, 1.0 + i) for i in range(9)}
    rows, caption = by_itself(tmp_path, rates=courses)
    assert {name: row[0] for name, row in rows.items()} == {n: c[0] for n, c in courses.items()}
    assert "planned" not in caption
    # Of few groups there are lines, and no heat map beside them.
    few = {"x": np.ones(10), "y": np.ones(10)}
    assert by_itself(tmp_path / "few", rates=few) == ({}, "")


def test_a_parameter_in_no_group_is_at_0_if_it_is_frozen(tmp_path):
    parameters = [Parameter("body/kernel", trainable=False), *NAMES[2:]]
    rows, caption = by_itself(tmp_path, rates={"head": np.full(10, 7.0)}, parameters=parameters)
    assert rows == {"body/kernel": [0] * 10, "head": [7] * 10}
    assert "grey is 0" in caption


def test_one_group_of_what_has_two_rates_in_the_plan_is_no_reading(tmp_path):
    plan = resolve(NAMES, {"body/bias": 0.1}, learning_rate=1.0)
    assert by_itself(tmp_path, rates={"body": np.ones(10), "head": np.ones(10)}, plan=plan)[0] == {}


def test_rates_of_epochs_count_where_batches_have_none(tmp_path):
    with Recorder(tmp_path / "run") as recorder:
        recorder.save_plan(resolve(NAMES, {"body": 0.1}, learning_rate=1.0))
        for step in range(4):
            recorder.log(step=step, epoch=step // 2, loss=1.0)
            if step % 2:
                recorder.log_epoch(step // 2, rates={"body": 3.0 + step, "default": 5.0})
    rows, _ = heat(tmp_path, tmp_path / "run")
    assert rows == {"body": [4, 6], "head": [5, 5]}


def test_long_runs_keep_each_value_and_every_extreme(tmp_path):
    steps = np.arange(50_000)
    course = np.where(steps == 33_333, 9.0, 1.0)
    plan = {"table": {"parameter": ["a/w", "b/w"], "rule": ["a", "b"]}, "of": [0, 1]}
    plan |= {"rates": [[1.0], [1.0]], "steps": [0], "shows": "rate"}
    history = History({"step": steps, "rates/a": course, "rates/b": course * 2}, plan=plan)
    rows, caption = heat(tmp_path, history)
    assert {name: max(row) for name, row in rows.items()} == {"a/w": 9, "b/w": 18}
    assert "from 1 to 18" in caption
