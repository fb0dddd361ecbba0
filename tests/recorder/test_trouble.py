"""A full disk, a removed folder: one warning, and training goes on."""

import contextlib
import resource
import shutil
import warnings

import pytest

from layerwise.recorder import History, Recorder, RecorderWarning
from layerwise.schedules import cosine
from tests._support.runs import FILE


@contextlib.contextmanager
def files_no_larger_than(size):
    """The system refuses to let any file of this process grow further, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def train(recorder, first=0, steps=50):
    """Record in every manner; what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(first, first + steps):
            recorder.log(step=step, loss=1.0)
            recorder.log_epoch(step)
        recorder.log_many([{"step": first + steps}])
        recorder.save_schedule(cosine(10))
    assert all(warning.category is RecorderWarning for warning in caught)
    return [str(warning.message) for warning in caught]


def test_a_full_disk_from_the_start(tmp_path):
    (tmp_path / FILE).symlink_to("/dev/full")
    with pytest.warns(RecorderWarning, match="No space left on device") as caught:
        recorder = Recorder(tmp_path)
    assert len(caught) == 1
    assert train(recorder) == []
    recorder.close()


def test_a_disk_that_fills_up(tmp_path):
    recorder = Recorder(tmp_path)
    with files_no_larger_than(1000):
        messages = train(recorder)
    fitted = History.load(tmp_path).batch["step"].tolist()
    assert fitted == list(range(len(fitted)))
    assert len(fitted) > 5
    # Of a line that does not fit no part stays, so rows go on once there is room again.
    assert (tmp_path / FILE).read_bytes().endswith(b"]\n")
    assert train(recorder, first=60) == []
    recorder.close()
    assert len(messages) == 1
    assert str(tmp_path / FILE) in messages[0]
    assert "File too large" in messages[0]
    assert "Training goes on" in messages[0]
    assert History.load(tmp_path).batch["step"].tolist() == [*fitted, *range(60, 111)]
    with Recorder(tmp_path) as recorder:
        assert train(recorder, first=111, steps=3) == []
    assert History.load(tmp_path).batch["step"].tolist() == [*fitted, *range(60, 115)]


def test_a_removed_folder(tmp_path):
    recorder = Recorder(tmp_path / "run")
    assert train(recorder) == []
    shutil.rmtree(tmp_path / "run")
    messages = train(recorder, first=60)
    assert len(messages) == 1
    assert str(tmp_path / "run" / FILE) in messages[0]
    assert "removed" in messages[0]
    recorder.close()
    assert not (tmp_path / "run").exists()


def test_a_renamed_folder_is_written_to_all_the_same(tmp_path):
    recorder = Recorder(tmp_path / "run")
    recorder.log(step=0)
    (tmp_path / "run").rename(tmp_path / "better name")
    recorder.log(step=1)
    recorder.close()
    assert History.load(tmp_path / "better name").batch["step"].tolist() == [0, 1]


def test_the_warning_points_at_the_caller(tmp_path):
    recorder = Recorder(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    with pytest.warns(RecorderWarning) as caught:
        recorder.log(step=0)
    recorder.close()
    assert caught[0].filename == __file__


def test_what_stands_beside_is_kept_when_the_disk_is_full(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.save_schedule(cosine(10))
    before = sorted(path.name for path in tmp_path.iterdir())
    assert "schedule.json" in before
    with files_no_larger_than(300), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recorder.save_schedule(cosine(1000))
        recorder.save_schedule(cosine(1000))
    assert "schedule.json could not be written: File too large" in str(caught[0].message)
    assert len(caught) == 1
    recorder.log(step=0)
    recorder.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    history = History.load(tmp_path)
    assert history.schedule["text"] == "cosine(10)"
    assert history.batch["step"].tolist() == [0]


def test_damaged_lines_lose_only_themselves(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log_many({"step": step} for step in range(6))
    whole = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    whole[3] = b"[0, 1, \xff\n"
    whole[5] = b"\x00\x00\n"
    whole.insert(6, b"[0, 1]\n")  # too short, and of no known columns
    whole.insert(6, b"[77, 1, 2]\n")
    whole.insert(6, b"[[0], 1, 2]\n")
    (tmp_path / FILE).write_bytes(b"".join(whole))
    with pytest.warns(RecorderWarning, match="5 lines of .* can't be read") as caught:
        history = History.load(tmp_path)
    assert len(caught) == 1
    assert history.batch["step"].tolist() == [0, 2, 4, 5]
