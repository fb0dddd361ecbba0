"""Whatever is in a record or is recorded: only errors of ours, in little time and memory."""

import contextlib
import json
import tempfile
import warnings
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerwise.errors import RecorderError
from layerwise.recorder import History, Recorder, RecorderWarning
from tests._support.runs import FILE
from tests._support.strategies import (
    columns_of_a_run,
    json_values,
    logged_rows,
    record_files,
)

# The deadline is the bound on time: an input takes milliseconds, and none may take seconds.
fuzzed = settings(
    max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@contextlib.contextmanager
def only_ours():
    """Nothing but our errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", RecorderWarning)
        with contextlib.suppress(RecorderError):
            yield


@fuzzed
@given(record_files(), st.none() | st.integers(10, 20))
def test_any_file_is_read_and_gone_on_with(text, rows):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, FILE).write_bytes(text)
        with only_ours():
            history = History.load(folder, rows=rows)
            lengths = {len(column) for column in history.batch.values()}
            assert len(lengths) <= 1
        with only_ours():
            with Recorder(folder) as recorder:
                recorder.log(step=10**6, loss=0.25)
            batch = History.load(folder).batch
            assert (batch["step"][-1], batch["loss"][-1]) == (10**6, 0.25)


@fuzzed
@given(st.lists(logged_rows(), max_size=6))
def test_whatever_is_logged_spoils_nothing(rows):
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(folder)
        for row in rows:
            with only_ours():
                recorder.log(**row)
        with only_ours():
            recorder.log_many(rows)
        recorder.log(step=2**53, loss=0.25, metrics={"mine": 0.5})
        recorder.close()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # no line is damaged
            batch = History.load(folder).batch
        assert (batch["step"][-1], batch["loss"][-1], batch["mine"][-1]) == (2**53, 0.25, 0.5)
        with only_ours():
            History.load(folder).to_csv(Path(folder, "t.csv"))
            History.from_csv(Path(folder, "t.csv"))


@fuzzed
@given(
    st.sampled_from(["finder.json", "plan.json", "schedule.json", "rates.json"]),
    json_values
    | st.dictionaries(
        st.sampled_from(
            ["layerwise", "version", "table", "rates", "steps", "of", "names", "shows"]
        ),
        json_values | st.sampled_from(["plan", "schedule", "finding", 1]),
    ),
)
def test_whatever_stands_beside_is_left_out(name, data):
    with tempfile.TemporaryDirectory() as folder:
        with Recorder(folder) as recorder:
            recorder.log(step=0, loss=1.0)
        Path(folder, name).write_bytes(json.dumps(data).encode("utf-8", "surrogatepass"))
        with only_ours():
            assert History.load(folder).batch["loss"].tolist() == [1.0]


@fuzzed
@given(st.dictionaries(st.text(max_size=5), st.lists(st.floats() | st.text(max_size=3))))
def test_columns_of_any_kind(columns):
    with only_ours():
        repr(History(columns))


@fuzzed
@given(st.binary(max_size=80))
def test_tables_of_any_kind(text):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "t.csv").write_bytes(text)
        with only_ours():
            History.from_csv(Path(folder, "t.csv"))


@fuzzed
@given(st.lists(columns_of_a_run(), min_size=1, max_size=3))
def test_columns_are_thinned_and_written_whatever_they_hold(runs):
    with tempfile.TemporaryDirectory() as folder:
        for columns in runs:
            with only_ours():
                history = History(columns)
                repr(history)
                history.to_csv(Path(folder, "t.csv"))
