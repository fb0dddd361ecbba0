"""Sinks keep what the file keeps: every column apart, every row, every number."""

import json
import math
import subprocess
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.errors import RecorderError
from layerwise.recorder import MLflow, Recorder, RecorderWarning, TensorBoard, WeightsAndBiases
from layerwise.recorder._sinks.mlflow import _clean, tag_text
from layerwise.recorder._sinks.names import Names
from tests._support.sinks import in_event_files, in_mlflow

ODD = [
    "block[0]",
    "block(0)",
    "body",
    "body/kernel",
    "body/kernel/x",
    "Body",
    "a//b",
    "a/b",
    "/a/b",
    "a/b/",
    "./a",
    "../a",
    "..",
    ".",
    "",
    "/",
    "é層",
    "e\u0301",
    "é",
    "bad\udcff",
    "bad\\udcff",
    "line\nbreak",
    "tab\t",
    "\x1b[31m",
    "%s",
    "$x^2$",
    "x" * 1000,
    "x" * 999 + "y",
    "層" * 300,
    "_step",
    "_runtime",
    "_wandb",
    "step ",
    "constructor",
    "</script>",
    "a.b",
    "a:b",
]


def record(run, sink, names, steps=range(3)):
    """A row for each step, with the place of each name as its value."""
    with Recorder(run, sinks=[sink]) as recorder:
        for step in steps:
            recorder.log(
                step=step,
                loss=float(step),
                metrics={name: float(place) for place, name in enumerate(names)},
                rates={name: 0.5 * place for place, name in enumerate(names)},
            )


def values_of(found):
    """The value of each series; all have one value throughout."""
    return sorted(value for points in found.values() for value in set(points.values()))


def expected(names):
    return sorted([*map(float, range(len(names))), *(0.5 * at for at in range(len(names)))])


def test_tensorboard(tmp_path, monkeypatch):
    record(tmp_path, TensorBoard(tmp_path), ODD)
    found = in_event_files(tmp_path, monkeypatch)
    assert found.pop("loss") == {0: 0.0, 1: 1.0, 2: 2.0}
    assert len(found) == 2 * len(ODD)
    assert values_of(found) == expected(ODD)
    assert {"body", "body/kernel", "rates/block[0]", "bad\\udcff_2"} <= found.keys()


def test_mlflow(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    place = (tmp_path / "mlruns").as_uri()
    sink = MLflow("odd", tracking_uri=place)
    record(tmp_path / "run", sink, ODD)
    found, run = in_mlflow(sink, place)
    assert run.info.status == "FINISHED"
    assert found.pop("loss") == {0: 0.0, 1: 1.0, 2: 2.0}
    assert len(found) == 2 * len(ODD)
    assert values_of(found) == expected(ODD)
    assert {"block_0_", "block_0__2", "body", "body.kernel"} <= found.keys()
    # Which column it is stands in a tag, where that is not the name.
    columns = {
        key.removeprefix("layerwise.column."): column
        for key, column in run.data.tags.items()
        if key.startswith("layerwise.column.")
    }
    assert columns["block_0_"] == "block[0]"
    assert columns["block_0__2"] == "block(0)"
    for name, points in found.items():
        column = columns.get(name, name)
        place = points[0] if not column.startswith("rates/") else 2 * points[0]
        assert tag_text(ODD[int(place)]) == column.removeprefix("rates/")


def test_mlflow_goes_on_in_the_same_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    place = (tmp_path / "mlruns").as_uri()
    first = MLflow("odd", tracking_uri=place)
    record(tmp_path / "run", first, ODD)
    # Another process, in which the columns come in another order.
    again = MLflow("odd", tracking_uri=place, run_id=first.run_id)
    assert again.run_id == first.run_id
    assert in_mlflow(again, place)[1].info.status == "RUNNING"
    with Recorder(tmp_path / "run", sinks=[again]) as recorder:
        for step in (3, 4):
            backwards = list(enumerate(ODD))[::-1]
            recorder.log(step=step, metrics={name: float(at) for at, name in backwards})
    found, run = in_mlflow(again, place)
    assert run.info.status == "FINISHED"
    assert found["loss"] == {0: 0.0, 1: 1.0, 2: 2.0}
    metrics = [points for points in found.values() if 4 in points]
    assert len(metrics) == len(ODD)
    assert all(len(points) == 5 and len(set(points.values())) == 1 for points in metrics)


def test_mlflow_has_no_such_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException):
        MLflow(tracking_uri=(tmp_path / "mlruns").as_uri(), run_id="0" * 32)


def test_mlflow_takes_every_number_and_every_row(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place = (tmp_path / "mlruns").as_uri()
    sink = MLflow("numbers", tracking_uri=place)
    values = [math.nan, math.inf, -math.inf, 1e308, 5e-324, 1.0, 1.0, 1.0]
    with Recorder(tmp_path / "run", sinks=[sink]) as recorder:
        recorder.log_many({"step": 0, "loss": value} for value in values)
        # More numbers in a row than one call may have.
        recorder.log(step=1, metrics={f"m{number}": 1.0 * number for number in range(1200)})
    history = sink._client.get_metric_history(sink.run_id, "loss")
    assert sorted(map(str, (point.value for point in history))) == sorted(map(str, values))
    assert len({point.timestamp for point in history}) == len(values)
    assert len(sink._client.get_run(sink.run_id).data.metrics) == 1201


def test_mlflow_is_set_to_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place = (tmp_path / "mlruns").as_uri()
    sink = MLflow("failing", tracking_uri=place)
    recorder = Recorder(tmp_path / "run", sinks=[sink])
    recorder.log(step=0, loss=1.0)

    def down(*_, **__):
        raise ConnectionError("the server is down")

    monkeypatch.setattr(sink._client, "log_batch", down)
    with pytest.warns(RecorderWarning, match="MLflow could not write step 1"):
        recorder.log(step=1, metrics={f"m{number}": 1.0 for number in range(1000)})
    recorder.log(step=2, loss=1.0)
    recorder.close()
    assert in_mlflow(sink, place)[1].info.status == "FAILED"
    again = MLflow("failing", tracking_uri=place)
    monkeypatch.setattr(again._client, "log_batch", down)
    recorder = Recorder(tmp_path / "run", sinks=[again])
    recorder.log(step=3, loss=1.0)
    with pytest.warns(RecorderWarning, match="MLflow could not finish"):
        recorder.close()
    assert in_mlflow(again, place)[1].info.status == "FAILED"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, by a new SQLAlchemy
def test_mlflow_with_the_documented_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sink = MLflow("odd", tracking_uri="sqlite:///mlflow.db")
    record(tmp_path / "run", sink, ODD)
    found, run = in_mlflow(sink, "sqlite:///mlflow.db")
    assert run.info.status == "FINISHED"
    assert len(found) == 2 * len(ODD) + 1


def test_a_database_without_its_client_is_an_error_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = (
        "import sys\nsys.modules['sqlalchemy'] = None\n"
        "from layerwise.errors import RecorderError\nfrom layerwise.recorder import MLflow\n"
        "try:\n    MLflow('odd', tracking_uri='sqlite:///mlflow.db')\n"
        "except RecorderError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "layerwise[mlflow]"' in done.stdout


class FakeRun:
    """What the sink needs of a run of Weights & Biases."""

    id, step = "abc", 0

    def __init__(self):
        self.rows, self.defined, self.codes = [], [], []

    def define_metric(self, name, **options):
        self.defined.append((name, options))

    def log(self, row, step, commit):
        assert commit
        assert not self.rows or step > self.rows[-1][0], "Weights & Biases would drop it"
        self.rows.append((step, row))

    def finish(self, exit_code):
        self.codes.append(exit_code)


@pytest.fixture
def wandb(monkeypatch):
    made = []

    def init(**options):
        made.append(FakeRun())
        return made[-1]

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    return made


def test_weights_and_biases_keeps_every_row_of_a_step(tmp_path, wandb):
    with Recorder(tmp_path, sinks=[WeightsAndBiases()]) as recorder:
        for step in (0, 0, 0, 1, 5, 3, 6):
            recorder.log(step=step, loss=float(step))
    (run,) = wandb
    assert [row["step"] for _, row in run.rows] == [0, 0, 0, 1, 5, 3, 6]
    assert [number for number, _ in run.rows] == [0, 1, 2, 3, 5, 6, 7]
    assert ("*", {"step_metric": "step"}) in run.defined
    assert run.codes == [0]


def test_weights_and_biases_keeps_names_apart(tmp_path, wandb):
    record(tmp_path, WeightsAndBiases(), ODD)
    _, row = wandb[0].rows[0]
    assert len(row) == 2 * len(ODD) + 2
    assert not any(name.startswith("_") for name in row)
    json.dumps(row).encode()
    for name in row:
        name.encode()


def test_weights_and_biases_ends_as_failed(tmp_path, wandb, monkeypatch):
    def down(*_, **__):
        raise ConnectionError("the service has ended")

    monkeypatch.setattr(FakeRun, "log", down)
    recorder = Recorder(tmp_path, sinks=[WeightsAndBiases()])
    with pytest.warns(RecorderWarning, match="WeightsAndBiases could not write step 0"):
        recorder.log(step=0, loss=1.0)
    recorder.close()
    assert wandb[0].codes == [1]


def test_tensorboard_keeps_every_row_of_a_step_and_what_is_no_number(tmp_path, monkeypatch):
    board = TensorBoard(tmp_path / "board")
    with Recorder(tmp_path, sinks=[board]) as recorder:
        for value in (math.nan, math.inf, -math.inf, 2.0, 2.0):
            recorder.log(step=7, loss=value)
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboardX.proto.event_pb2 import Event

    (file,) = (tmp_path / "board").iterdir()
    events = [Event.FromString(raw) for raw in RawEventFileLoader(str(file)).Load()]
    values = [value.simple_value for event in events for value in event.summary.value]
    assert list(map(str, values)) == ["nan", "inf", "-inf", "2.0", "2.0"]


def test_tensorboard_on_a_full_disk_is_closed(tmp_path):
    board = TensorBoard(tmp_path / "board")

    class Full:
        closed = 0

        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            self.closed += 1
            raise OSError(28, "No space left on device")

    full = Full()
    board._writer.close()
    board._writer = full
    recorder = Recorder(tmp_path, sinks=[board])
    with pytest.warns(RecorderWarning, match="TensorBoard could not write step 0") as caught:
        recorder.log(step=0, loss=1.0)
    recorder.log(step=1, loss=1.0)
    recorder.close()
    assert len(caught) == 1
    assert full.closed == 1


def test_tensorboard_needs_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecorderError, match="can't be written to"):
        TensorBoard(tmp_path / "file" / "below")


@given(st.lists(st.text(max_size=12), unique=True, max_size=30))
def test_names_for_files_never_collide(columns):
    names = Names(_clean, most=20, files=True)
    given_names = [names.of(column) for column in columns]
    assert given_names == [names.of(column) for column in columns]
    folded = [name.casefold() for name in given_names]
    assert len(set(folded)) == len(folded)
    for name in folded:
        assert not any(other.startswith(f"{name}/") for other in folded)
        assert len(name.encode()) <= 30
        assert _clean(name) == name
