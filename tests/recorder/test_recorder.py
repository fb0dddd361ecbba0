"""What is written: strict lines, names once, and nothing of a call that is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from layerwise.errors import RecorderError
from layerwise.recorder import History, Recorder
from tests._support.runs import FILE


def lines(run):
    """Every line of a record, as strict JSON."""

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    text = (run / FILE).read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_the_lines_of_a_record(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log(step=0, epoch=0, loss=2.5, rate=0.01, rates={"body": 0.001, "head": 0.01})
        recorder.log(step=1, epoch=0, loss=2.0, rate=0.01, rates={"body": 0.001, "head": 0.01})
        recorder.log_epoch(0, loss=2.25, metrics={"val_loss": 3.0})
    header, columns, first, second, epoch_columns, epoch = lines(tmp_path)
    assert (header["layerwise"], header["version"]) == ("record", 1)
    names = ["step", "epoch", "time", "loss", "rate", "rates/body", "rates/head"]
    assert columns == {"columns": names, "of": "batch", "id": 0}
    assert first[:3] + first[4:] == [0, 0, 0, 2.5, 0.01, 0.001, 0.01]
    assert second[:3] + second[4:] == [0, 1, 0, 2.0, 0.01, 0.001, 0.01]
    assert epoch_columns["columns"] == ["step", "epoch", "time", "loss", "val_loss"]
    assert epoch_columns["of"] == "epoch"
    assert epoch[:3] + epoch[4:] == [1, 2, 0, 2.25, 3.0]


def test_what_is_no_finite_number_is_text(tmp_path):
    values = [float("nan"), float("inf"), -float("inf"), 1.5]
    with Recorder(tmp_path) as recorder:
        for step, value in enumerate(values):
            recorder.log(step=step, loss=value, rates={"a": value})
    assert [line[3] for line in lines(tmp_path)[2:]] == ["nan", "inf", "-inf", 1.5]
    batch = History.load(tmp_path).batch
    np.testing.assert_array_equal(batch["loss"], values)
    np.testing.assert_array_equal(batch["rates/a"], values)


def test_numbers_come_back(tmp_path):
    rng = np.random.default_rng(0)
    losses = np.exp(rng.uniform(-200, 200, 100))
    rates = np.exp(rng.uniform(-60, 60, 100)).astype(np.float32)
    with Recorder(tmp_path) as recorder:
        for step, (loss, rate) in enumerate(zip(losses, rates, strict=True)):
            recorder.log(
                step=step,
                loss=loss,
                metrics={"m": -loss},
                rate=loss,
                rates={"a": rate},
                ratios={"b": np.array(rate)},
            )
    batch = History.load(tmp_path).batch
    # Losses, metrics and base rates to the last bit; the rates of groups to that of a float32.
    assert batch["loss"].tolist() == batch["rate"].tolist() == losses.tolist()
    assert batch["m"].tolist() == (-losses).tolist()
    assert batch["rates/a"].astype(np.float32).tolist() == rates.tolist()
    assert batch["ratios/b"].astype(np.float32).tolist() == rates.tolist()


def test_large_steps_are_exact(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.log(step=np.int64(2**40 + 1))
    assert History.load(tmp_path).batch["step"].tolist() == [2**40 + 1]


def test_names_of_any_kind(tmp_path):
    names = ["<script>", "a/b c", 'quote"', "line\nbreak", "ünïcode 層", "%d %s %%", ""]
    rates = {name: number / 8 for number, name in enumerate(names)}
    with Recorder(tmp_path) as recorder:
        recorder.log(step=0, rates=rates, metrics={"%r": 0.25})
        recorder.log(step=1, rates=rates, metrics={"%r": float("nan")})
    history = History.load(tmp_path)
    assert {name: column[1] for name, column in history.rates.items()} == rates
    assert history.batch["%r"][0] == 0.25
    assert math.isnan(history.batch["%r"][1])


def test_only_every_kth_batch_and_every_epoch(tmp_path):
    with Recorder(tmp_path, every=3) as recorder:
        assert [recorder.wants(step) for step in range(4)] == [True, False, False, True]
        for step in range(10):
            recorder.log(step=step)
            recorder.log_epoch(step)
    history = History.load(tmp_path)
    assert history.batch["step"].tolist() == [0, 3, 6, 9]
    assert history.epoch["step"].tolist() == list(range(1, 11))


@pytest.mark.parametrize("late", [False, True], ids=["", "late"])
def test_an_epoch_counts_batches_that_were_only_asked_for(tmp_path, late):
    with Recorder(tmp_path, every=10) as recorder:
        for epoch in range(2):
            rows = []
            for step in range(25 * epoch, 25 * epoch + 25):
                if recorder.wants(step):
                    rows.append({"step": step})
                    if not late:
                        recorder.log_many(rows[-1:])
            if late:
                recorder.log_many(rows)
            recorder.log_epoch(epoch)
            assert History.load(tmp_path).epoch["step"][-1] == 25 * (epoch + 1)
        recorder.resume(23)
        recorder.log(step=23)
        recorder.log_epoch(0)
    assert History.load(tmp_path).epoch["step"].tolist() == [24]


def test_an_epoch_knows_its_step_after_a_resume(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.resume(40)
        recorder.log_epoch(3)
    assert History.load(tmp_path).epoch["step"].tolist() == [40]


def test_a_row_is_in_the_file_when_log_returns(tmp_path):
    recorder = Recorder(tmp_path)
    for step in range(3):
        recorder.log(step=step)
        assert History.load(tmp_path).batch["step"].tolist() == list(range(step + 1))
    recorder.close()


def test_a_block_is_the_same_as_its_rows(tmp_path):
    rows = [
        {"step": step, "epoch": 0, "loss": 1 / (1 + step), "time": 2e9, "rates": {"a": 0.5}}
        | ({"ratios": {"layer": 1e-3}} if step % 3 == 0 else {})
        for step in range(10)
    ]
    with Recorder(tmp_path / "one") as one, Recorder(tmp_path / "many") as many:
        for row in rows:
            one.log(**row)
        many.log_many(rows)
    found = [lines(tmp_path / name) for name in ("one", "many")]
    times = [History.load(tmp_path / name).batch.keys() for name in ("one", "many")]
    assert times[0] == times[1]
    # But for the time, that counts from the opening of either.
    assert [len(line) for line in found[0]] == [len(line) for line in found[1]]
    for name in ("step", "epoch", "loss", "rates/a", "ratios/layer"):
        np.testing.assert_array_equal(
            *(History.load(tmp_path / run).batch[name] for run in ("one", "many"))
        )


BAD_ROWS = [
    ({}, "step must be a whole number"),
    ({"step": -1}, "step must be a whole number of at least 0, got -1"),
    ({"step": 1.5}, "step must be a whole number"),
    ({"step": "3"}, "step must be a whole number"),
    ({"step": 1, "epoch": -2}, "epoch must be"),
    ({"step": 1, "loss": "low"}, "'loss' must be a number, got 'low'"),
    ({"step": 1, "time": "noon"}, "'time' must be a number, got 'noon'"),
    ({"step": 1, "rate": [1, 2]}, "'rate' must be a number"),
    ({"step": 1, "metrics": {"a": None}}, "'a' must be a number, got None"),
    ({"step": 1, "rates": {"body": np.zeros(3)}}, "'body' must be a number"),
    ({"step": 1, "rates": [0.1]}, "must map names to numbers"),
    ({"step": 1, "metrics": {"loss": 1.0}}, "already has a column 'loss'"),
    ({"step": 1, "metrics": {"rates/a": 1.0}, "rates": {"a": 1.0}}, "has a column 'rates/a'"),
    ({"step": 1, "ratios": {1: 1.0}}, "must be text, got 1"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_bad_row_changes_nothing(tmp_path, row, message):
    recorder = Recorder(tmp_path)
    recorder.log(step=1, loss=1.0)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(RecorderError, match=message):
        recorder.log_many([{"step": 0, "metrics": {"new": 1.0}}, row])
    if row:
        with pytest.raises(RecorderError, match=message):
            recorder.log(**row)
    assert (tmp_path / FILE).read_bytes() == before
    recorder.log(step=2, metrics={"new": 2.0})
    recorder.close()
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [1, 2]
    assert batch["new"].tolist()[1:] == [2.0]


@pytest.mark.parametrize("row", [{"step": 0, "lr": 0.1}, 7, None])
def test_a_block_has_rows_only(tmp_path, row):
    with Recorder(tmp_path) as recorder, pytest.raises(RecorderError, match="arguments of"):
        recorder.log_many([row])


@pytest.mark.parametrize("every", [0, -1, 1.5, "2"])
def test_every_is_a_count(tmp_path, every):
    with pytest.raises(RecorderError, match="every must be"):
        Recorder(tmp_path / "run", every=every)
    assert not (tmp_path / "run").exists()


def test_a_closed_recorder_says_so(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.close()
    recorder.close()
    for call in (
        lambda: recorder.log(step=0),
        lambda: recorder.log_many([{"step": 0}]),
        lambda: recorder.log_epoch(0),
    ):
        with pytest.raises(RecorderError, match="This recorder is closed"):
            call()
    assert len(lines(tmp_path)) == 1


def test_an_exception_closes_and_goes_on(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.log(step=0)
    with pytest.raises(KeyboardInterrupt), recorder:
        raise KeyboardInterrupt
    with pytest.raises(RecorderError, match="closed"):
        recorder.log(step=1)
    assert History.load(tmp_path).batch["step"].tolist() == [0]


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_file_stays_open(tmp_path):
    before = open_files()
    for _ in range(5):
        Recorder(tmp_path).close()
    (tmp_path / FILE).write_text("something else\n")
    with pytest.raises(RecorderError):
        Recorder(tmp_path)
    assert open_files() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("something else\n", "no record of Layerwise"),
        ("no line at all", "no record of Layerwise"),
        ('{"layerwise": "plan", "version": 1}\n', "no record of Layerwise"),
        ('{"layerwise": "record", "version": 2}\n', "has version 2, but this Layerwise reads"),
        ("[1, 2]\n", "no record of Layerwise"),
        ("\x00" * 10 + "\n", "no record of Layerwise"),
    ],
)
def test_what_is_no_record_stays_as_it_is(tmp_path, text, message):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RecorderError, match=message):
        Recorder(tmp_path)
    with pytest.raises(RecorderError, match=message):
        History.load(tmp_path)
    assert (tmp_path / FILE).read_text() == text


def test_a_run_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for run in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RecorderError, match="can't be written"):
            Recorder(run)


def test_it_prints_as_it_is_made(tmp_path):
    with Recorder(tmp_path) as plain, Recorder(str(tmp_path / "b"), every=5) as fifth:
        assert repr(plain) == f"Recorder({str(tmp_path)!r})"
        assert repr(fifth) == f"Recorder({str(tmp_path / 'b')!r}, every=5)"
