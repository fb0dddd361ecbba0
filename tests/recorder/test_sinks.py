"""Sinks: what the real clients wrote, read by their own readers; and one that fails."""

import json
import math
import sys

import pytest

from layerwise.errors import RecorderError
from layerwise.recorder import (
    History,
    MLflow,
    Recorder,
    RecorderWarning,
    TensorBoard,
    WeightsAndBiases,
)
from tests._support.sinks import in_event_files, in_mlflow, wandb_records


def train(run, sink, first=0, last=6, **options):
    with Recorder(run, sinks=[sink], **options) as recorder:
        for step in range(first, last):
            loss = math.nan if step == 4 else 1 / (1 + step)
            recorder.log(step=step, epoch=0, loss=loss, rate=0.5, rates={"body <1>": 0.25 * step})
        recorder.log_epoch(0, loss=0.75, metrics={"val_loss": 2.0})


def expected(last=6):
    losses = {step: 1 / (1 + step) for step in range(last)} | {4: math.nan}
    return {
        "loss": losses,
        "rate": dict.fromkeys(range(last), 0.5),
        "rates/body <1>": {step: 0.25 * step for step in range(last)},
        "epoch/loss": {last: 0.75},
        "epoch/val_loss": {last: 2.0},
    }


def same(found, wanted):
    """Equal to a float32, with nan equal to nan."""
    assert found.keys() == wanted.keys()
    for name, points in wanted.items():
        assert found[name] == pytest.approx(points, rel=1e-6, nan_ok=True)
    return True


def test_tensorboard(tmp_path, monkeypatch):
    train(tmp_path, TensorBoard(tmp_path))
    assert same(in_event_files(tmp_path, monkeypatch), expected())


def test_tensorboard_hides_what_is_void(tmp_path, monkeypatch):
    train(tmp_path, TensorBoard(tmp_path))
    # Two openings within one second must not share one file.
    train(tmp_path, TensorBoard(tmp_path), first=2, last=4)
    assert len(list(tmp_path.glob("events*"))) == 2
    assert same(
        in_event_files(tmp_path, monkeypatch),
        expected(4) | {"loss": {0: 1, 1: 1 / 2, 2: 1 / 3, 3: 1 / 4}},
    )


def test_weights_and_biases(tmp_path, monkeypatch):
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-own"))
    monkeypatch.chdir(tmp_path)
    import wandb

    settings = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False)
    train(tmp_path, WeightsAndBiases(project="p", name="a", dir=str(tmp_path), settings=settings))
    wandb.teardown()  # waits for the process that writes the file
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    found, names = {}, []
    for record in wandb_records(file):
        names += [record.run.display_name] if record.HasField("run") else []
        if record.HasField("history"):
            row = {
                "/".join(item.nested_key) or item.key: item.value_json
                for item in record.history.item
            }
            for name, value in row.items():
                if not name.startswith("_"):
                    found.setdefault(name, {})[int(row["_step"])] = float(json.loads(value))
    assert names[0] == "a"
    assert found.pop("step") == {step: step for step in range(7)}
    assert same(found, expected())


def test_mlflow(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    place = (tmp_path / "mlruns").as_uri()
    sink = MLflow("digits", name="a", tracking_uri=place)
    train(tmp_path, sink, last=400)
    from mlflow import MlflowClient

    found, run = in_mlflow(sink, place)
    assert (run.info.run_name, run.info.status) == ("a", "FINISHED")
    wanted = expected(400)
    wanted["rates/body _1_"] = wanted.pop("rates/body <1>")
    assert same(found, wanted)
    second = MLflow("digits", tracking_uri=place)
    client = MlflowClient(tracking_uri=place)
    assert client.get_experiment(run.info.experiment_id).name == "digits"
    assert client.get_run(second.run_id).info.experiment_id == run.info.experiment_id


def train_twice(run, sink):
    """As an adapter does that opens the run again for each training, with the same sink."""
    train(run, sink, last=4)
    train(run, sink, first=4, last=8)


def expected_twice():
    wanted = expected(8)
    wanted["epoch/loss"][4] = 0.75
    wanted["epoch/val_loss"][4] = 2.0
    return wanted


def test_tensorboard_goes_on_in_another_training(tmp_path, monkeypatch):
    train_twice(tmp_path, TensorBoard(tmp_path))
    assert same(in_event_files(tmp_path, monkeypatch), expected_twice())


def test_mlflow_goes_on_in_another_training(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    sink = MLflow("digits", tracking_uri=(tmp_path / "mlruns").as_uri())
    train_twice(tmp_path, sink)
    found, run = in_mlflow(sink, (tmp_path / "mlruns").as_uri())
    wanted = expected_twice()
    wanted["rates/body _1_"] = wanted.pop("rates/body <1>")
    assert same(found, wanted)
    assert run.info.status == "FINISHED"


def test_tensorboard_hides_what_one_process_does_again(tmp_path, monkeypatch):
    with Recorder(tmp_path, sinks=[TensorBoard(tmp_path)]) as recorder:
        for step, loss in [(0, 4.0), (1, 3.0), (2, 2.0), (1, 2.5)]:
            recorder.log(step=step, loss=loss)
    assert in_event_files(tmp_path, monkeypatch) == {"loss": {0: 4.0, 1: 2.5}}


class Failing:
    """A sink that breaks at one step, or at its end."""

    def __init__(self, at):
        self.at = at
        self.steps = []

    def write(self, step, values):
        self.steps.append(step)
        if step == self.at:
            raise ConnectionError("the network is down")

    def close(self):
        if self.at == "end":
            raise ConnectionError("the network is down")


def test_a_sink_that_fails_is_dropped_and_training_goes_on(tmp_path):
    failing, other = Failing(2), Failing(None)
    recorder = Recorder(tmp_path, sinks=[failing, other])
    with pytest.warns(RecorderWarning, match="Failing could not write step 2 .*network") as caught:
        recorder.log_many({"step": step, "loss": 1.0} for step in range(5))
    recorder.close()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert failing.steps == [0, 1, 2]
    assert other.steps == [0, 1, 2, 3, 4]
    assert History.load(tmp_path).batch["step"].tolist() == [0, 1, 2, 3, 4]


def test_a_sink_that_can_not_finish(tmp_path):
    recorder = Recorder(tmp_path, sinks=[Failing("end")])
    recorder.log(step=0)
    with pytest.warns(RecorderWarning, match="Failing could not finish") as caught:
        recorder.close()
    recorder.close()
    assert len(caught) == 1


def test_a_sink_gets_what_is_kept(tmp_path):
    sink = Failing(None)
    with Recorder(tmp_path, every=4, sinks=[sink]) as recorder:
        recorder.log_many({"step": step} for step in range(10))
    assert sink.steps == [0, 4, 8]


def test_an_epoch_without_steps_is_shown_at_its_number(tmp_path):
    sink = Failing(None)
    with Recorder(tmp_path, sinks=[sink]) as recorder:
        recorder.log_epoch(3, loss=1.0)
    assert sink.steps == [3]


@pytest.mark.parametrize("sink", ["tensorboard", TensorBoard, None])
def test_what_is_no_sink(tmp_path, sink):
    with pytest.raises(RecorderError, match="A sink"):
        Recorder(tmp_path / "run", sinks=[sink])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        ("tensorboardX", lambda: TensorBoard("nowhere"), "tensorboard"),
        ("wandb", WeightsAndBiases, "wandb"),
        ("mlflow", MLflow, "mlflow"),
    ],
)
def test_a_client_that_is_not_installed(monkeypatch, module, make, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RecorderError, match=rf"pip install \"layerwise\[{extra}\]\""):
        make()
