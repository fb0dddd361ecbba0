"""What stands beside a record: plain data from which a report draws without the model."""

import json
from datetime import datetime

import numpy as np
import pytest

from layerwise import cosine, cyclic, from_function, warmup
from layerwise.errors import RecorderError
from layerwise.finder import LRFinding, QuadraticTrainer, RatesFinding, search
from layerwise.multipliers import Parameter, gradual_unfreezing, resolve
from layerwise.recorder import History, Recorder, RecorderWarning
from layerwise.schedules import Schedule
from tests._support.rates import FINDINGS, found

PARAMETERS = [
    Parameter("body/kernel", (8, 4)),
    Parameter("body/bias", (4,)),
    Parameter("norm/mean", (4,), trainable=False),
    Parameter("head/kernel", (4, 2)),
]


def saved(folder, save):
    with Recorder(folder) as recorder:
        save(recorder)
    return History.load(folder)


def test_a_plan_over_steps(tmp_path):
    schedule = warmup(100) >> cosine(900)
    rules = {"body": 0.1, "head": cyclic(50, low=0.5)}
    plan = resolve(PARAMETERS, rules, learning_rate=1e-3, schedule=schedule)
    data = saved(tmp_path, lambda recorder: recorder.save_plan(plan)).plan
    assert data["table"]["parameter"] == [parameter.name for parameter in PARAMETERS]
    assert data["shows"] == "rate"
    assert data["steps"][0] == 0
    assert data["steps"][-1] == 1000
    assert len(data["steps"]) == 200
    assert data["names"] == ["body/kernel and 1 more", "norm/mean", "head/kernel"]
    assert data["of"] == [0, 0, 1, 2]
    drawn = np.array(data["rates"])[data["of"]]
    expected = np.array([plan.rates(step) for step in data["steps"]]).T
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(
    ("rules", "schedule", "steps", "expected"),
    [
        ({}, None, None, (0, 1)),
        ({"head": 2.0}, None, 500, (500, 200)),
        ({}, cosine(30), None, (30, 31)),
        ({"head": cosine(40)}, cosine(30), None, (40, 41)),
        ({}, cyclic(7, low=0.1), None, (1000, 200)),
        ({}, lambda step: 1.0, 3, (3, 4)),
    ],
)
def test_a_plan_is_as_long_as_its_schedules(tmp_path, rules, schedule, steps, expected):
    plan = resolve(PARAMETERS, rules, learning_rate=0.1, schedule=schedule)
    data = saved(tmp_path, lambda recorder: recorder.save_plan(plan, steps)).plan
    assert (data["steps"][-1], len(data["steps"])) == expected
    assert {len(row) for row in data["rates"]} == {expected[1]}


def test_a_plan_without_a_rate_shows_multipliers(tmp_path):
    plan = resolve(PARAMETERS, {"body": 0.25})
    data = saved(tmp_path, lambda recorder: recorder.save_plan(plan)).plan
    assert data["shows"] == "multiplier"
    assert np.array(data["rates"])[data["of"]].ravel().tolist() == [0.25, 0.25, 1.0, 1.0]


def test_a_plan_of_a_strategy(tmp_path):
    names = [Parameter(f"block{number}/kernel") for number in range(4)]
    plan = resolve(names, gradual_unfreezing(every=10), learning_rate=1.0)
    data = saved(tmp_path, lambda recorder: recorder.save_plan(plan, 50)).plan
    drawn = np.array(data["rates"])[data["of"]]
    assert (drawn[:, 0] == [0, 0, 0, 1]).all()
    assert (drawn[:, -1] == 1).all()


def test_a_plan_without_parameters(tmp_path):
    plan = resolve([], None, learning_rate=1.0)
    data = saved(tmp_path, lambda recorder: recorder.save_plan(plan)).plan
    assert (data["of"], data["rates"], data["names"]) == ([], [], [])


def test_a_schedule(tmp_path):
    schedule = warmup(5) >> cosine(20)
    data = saved(tmp_path, lambda recorder: recorder.save_schedule(schedule)).schedule
    assert data["text"] == "warmup(5) >> cosine(20)"
    assert Schedule.from_config(data["config"]) == schedule
    assert data["steps"] == list(range(26))
    assert data["factors"] == [schedule(step) for step in range(26)]


def half(step):
    return 0.5


@pytest.mark.parametrize("schedule", [half, from_function(half)])
def test_a_schedule_of_a_function_has_its_curve(tmp_path, schedule):
    data = saved(tmp_path, lambda recorder: recorder.save_schedule(schedule, 10)).schedule
    assert "half" in data["text"]
    assert data["config"] is None or data["config"]["version"] == 1
    assert data["factors"] == [0.5] * 11


def test_a_finding(tmp_path):
    finding = search(QuadraticTrainer(), range(1000), steps=40, method="sweep")
    assert len(finding.rates) > 5
    history = saved(tmp_path, lambda recorder: recorder.save_finding(finding))
    assert LRFinding.from_config(history.finding) == finding
    assert history.found_rates is None


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_of_rates_stands_beside_a_finding_of_one(tmp_path, name):
    finding = search(QuadraticTrainer(), range(1000), steps=40, method="sweep")

    def save(recorder):
        recorder.save_finding(finding)
        recorder.save_finding(FINDINGS[name])

    history = saved(tmp_path, save)
    assert RatesFinding.from_config(history.found_rates) == FINDINGS[name]
    assert LRFinding.from_config(history.finding) == finding


@pytest.mark.parametrize("steps", [-1, 2.5])
def test_steps_is_a_count(tmp_path, steps):
    plan = resolve(PARAMETERS, {}, learning_rate=0.1)
    with Recorder(tmp_path) as recorder:
        for save in (
            lambda: recorder.save_plan(plan, steps),
            lambda: recorder.save_schedule(cosine(3), steps),
        ):
            with pytest.raises(RecorderError, match="steps must be a whole number"):
                save()
    assert [path.name for path in tmp_path.iterdir()] == ["record.jsonl"]


def test_the_second_takes_the_place_of_the_first(tmp_path):
    def save(recorder):
        recorder.save_schedule(cosine(10))
        recorder.save_schedule(cosine(20))

    assert saved(tmp_path, save).schedule["text"] == "cosine(20)"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["record.jsonl", "schedule.json"]
    text = (tmp_path / "schedule.json").read_text()
    assert json.loads(text)["layerwise"] == "schedule"


DAMAGED = [
    "",
    "{",
    "[1]",
    "[" * 100_000,
    "{}",
    "null",
    '{"layerwise": "plan", "version": 1}',
    '{"layerwise": "plan", "version": 2, "table": {"parameter": []}}',
    '{"layerwise": "finding", "version": 1, "rates": 7}',
    '{"layerwise": "schedule", "version": 1, "text": 5}',
    '{"layerwise": "rates", "version": 1, "bands": [[]]}',
]


@pytest.mark.parametrize("text", DAMAGED)
@pytest.mark.parametrize("name", ["finder.json", "plan.json", "schedule.json", "rates.json"])
def test_what_was_spoiled_is_left_out(tmp_path, name, text):
    with Recorder(tmp_path) as recorder:
        recorder.log(step=0, loss=1.0)
    (tmp_path / name).write_text(text)
    with pytest.warns(RecorderWarning, match=f"{name} can't be read and is left out") as caught:
        history = History.load(tmp_path)
    assert len(caught) == 1
    assert history.batch["loss"].tolist() == [1.0]
    assert (history.finding, history.plan, history.schedule) == (None, None, None)


def spoiled(data, *keys):
    """The data with something wrong at a place."""
    copy = json.loads(json.dumps(data))
    *path, last = keys
    at = copy
    for key in path:
        at = at[key]
    at[last] = 10**400 if isinstance(last, int) else {"what": [None]}
    return copy


def test_one_wrong_value_is_enough(tmp_path):
    finding = search(QuadraticTrainer(), range(1000), steps=40, method="sweep")
    plan = resolve(PARAMETERS, {"body": 0.1}, learning_rate=1e-3, schedule=cosine(20))
    with Recorder(tmp_path) as recorder:
        recorder.save_finding(finding)
        recorder.save_plan(plan)
        recorder.save_schedule(cosine(20))
        recorder.save_finding(found(0.3))
        recorder.save_setup("SGD")
    tried = 0
    for name in ("finder.json", "plan.json", "schedule.json", "rates.json", "setup.json"):
        data = json.loads((tmp_path / name).read_text())
        places = [(key,) for key in data if key not in ("stopped", "updates", "config")]
        places += [(key, 0) for key, value in data.items() if isinstance(value, list) and value]
        for place in places:
            if place in (("names", 0), ("probes", 0)):
                continue
            (tmp_path / name).write_text(json.dumps(spoiled(data, *place)))
            with pytest.warns(RecorderWarning, match=name):
                assert History.load(tmp_path).name == tmp_path.name
            tried += 1
        (tmp_path / name).write_text(json.dumps(data))
    assert tried > 20


def test_a_setup_is_saved_with_date_and_versions(tmp_path):
    settings = {"momentum": 0.9, "betas": (0.9, 0.99), "nesterov": False, "fused": None, "f": len}
    with Recorder(tmp_path) as recorder:
        recorder.save_setup("SGD", settings)
    setup = History.load(tmp_path).setup
    assert setup["optimizer"] == "SGD(momentum=0.9, betas=(0.9, 0.99))"
    assert setup["versions"]["numpy"] == np.__version__
    assert datetime.fromisoformat(setup["date"]).tzinfo is not None


@pytest.mark.parametrize("name", [None, "", 3])
def test_an_optimizer_has_a_name(tmp_path, name):
    with Recorder(tmp_path) as recorder, pytest.raises(RecorderError, match="optimizer must be"):
        recorder.save_setup(name)
    assert History.load(tmp_path).setup is None
