"""A run that is gone on with: neither a row twice nor a gap, whatever is trained again."""

import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwise.errors import RecorderError
from layerwise.recorder import History, Recorder
from tests._support.runs import FILE

# Each: how far training goes back, how many steps it then does, and in which manner it says so.
MANNERS = ["reopened", "told", "same process", "in a block"]
sessions = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 8), st.sampled_from(MANNERS)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=50)
@given(sessions)
def test_the_history_is_that_of_the_last_training_of_each_step(sessions):
    steps, epochs = [], []
    with tempfile.TemporaryDirectory() as run:
        recorder = Recorder(run)
        for number, (back, count, manner) in enumerate(sessions):
            start = max(0, len(steps) - back)
            if manner != "same process":
                recorder.close()
                recorder = Recorder(run)
            # By one step in one process: that could be a second batch of one update.
            if manner == "told" or (manner == "same process" and start == len(steps) - 1):
                recorder.resume(start)
            rows = [{"step": step, "loss": number} for step in range(start, start + count)]
            if manner == "in a block":
                recorder.log_many(rows)
            else:
                for row in rows:
                    recorder.log(**row)
            recorder.log_epoch(number)
            steps[start:] = [number] * count
            epochs = [(number, end) for number, end in epochs if end <= start]
            epochs.append((number, start + count))
        recorder.close()
        history = History.load(run)
        assert history.batch["step"].tolist() == list(range(len(steps)))
        assert history.batch["loss"].tolist() == steps
        read = zip(history.epoch["epoch"].tolist(), history.epoch["step"].tolist(), strict=True)
        assert list(read) == epochs
        thin = History.load(run, rows=1000)
        assert thin.batch["loss"].tolist() == steps
        assert thin.epoch["step"].tolist() == [end for _, end in epochs]


def test_the_file_is_only_appended_to(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log_many({"step": step} for step in range(5))
    before = (tmp_path / FILE).read_bytes()
    with Recorder(tmp_path) as recorder:
        recorder.log(step=2, loss=0.5)
    assert (tmp_path / FILE).read_bytes().startswith(before)
    assert History.load(tmp_path).batch["step"].tolist() == [0, 1, 2]


def test_opening_a_run_changes_nothing_that_was_whole(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log(step=0)
    before = (tmp_path / FILE).read_bytes()
    Recorder(tmp_path).close()
    assert (tmp_path / FILE).read_bytes() == before


def test_other_columns_after_reopening(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log(step=0, loss=1.0, rates={"a": 0.1})
    with Recorder(tmp_path) as recorder:
        recorder.log(step=1, metrics={"accuracy": 0.5}, rates={"b": 0.2})
    batch = History.load(tmp_path).batch
    assert str({name: batch[name].tolist() for name in batch if name != "time"}) == str(
        {
            "step": [0, 1],
            "loss": [1.0, float("nan")],
            "rates/a": [0.1, float("nan")],
            "accuracy": [float("nan"), 0.5],
            "rates/b": [float("nan"), 0.2],
        }
    )


def test_times_go_on_from_the_first_start(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log(step=0, time=2e9)
    with Recorder(tmp_path) as recorder:
        recorder.log(step=1, time=2e9 + 60)
    first, second = History.load(tmp_path).batch["time"]
    assert second - first == pytest.approx(60, abs=1e-3)


def test_several_batches_of_one_update_all_stay(tmp_path):
    with Recorder(tmp_path) as recorder:
        for step in (0, 0, 1, 1):
            recorder.log(step=step)
    with Recorder(tmp_path) as recorder:
        for step in (1, 1, 2):
            recorder.log(step=step)
    assert History.load(tmp_path).batch["step"].tolist() == [0, 0, 1, 1, 2]


def test_a_second_training_with_the_same_epochs_keeps_the_first(tmp_path):
    with Recorder(tmp_path) as recorder:
        for step in range(6):
            recorder.log(step=step)
            if step % 2:
                recorder.log_epoch(step // 2 % 2)
    history = History.load(tmp_path)
    assert history.epoch["epoch"].tolist() == [0, 1, 0]
    assert history.epoch["step"].tolist() == [2, 4, 6]


def test_epochs_alone_may_count_anew_in_one_process(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log_epoch(0)
    with Recorder(tmp_path) as recorder:
        for epoch in (1, 2, 1):
            recorder.log_epoch(epoch)
    assert History.load(tmp_path).epoch["epoch"].tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("steps", [[100, 200, 300], [None, None, None]])
def test_epochs_alone_are_gone_on_with(tmp_path, steps):
    with Recorder(tmp_path) as recorder:
        for epoch, step in enumerate(steps):
            recorder.log_epoch(epoch, step=step, loss=1.0)
    with Recorder(tmp_path) as recorder:
        for epoch, step in [*enumerate(steps)][1:]:
            recorder.log_epoch(epoch, step=step, loss=2.0)
    epoch = History.load(tmp_path).epoch
    assert epoch["epoch"].tolist() == [0, 1, 2]
    assert epoch["loss"].tolist() == [1.0, 2.0, 2.0]


def test_rows_left_out_by_every_still_say_where_training_goes_on(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log_many({"step": step, "loss": 1.0} for step in range(20))
    with Recorder(tmp_path, every=5) as recorder:
        recorder.log_many({"step": step, "loss": 2.0} for step in range(11, 20))
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [*range(11), 15]
    assert batch["loss"].tolist() == [1.0] * 11 + [2.0]


def test_resuming_takes_a_step(tmp_path):
    recorder = Recorder(tmp_path)
    with pytest.raises(RecorderError, match="step must be a whole number"):
        recorder.resume(1.5)
    recorder.close()
    with pytest.raises(RecorderError, match="closed"):
        recorder.resume(1)
    assert (tmp_path / FILE).read_text().count("\n") == 1
