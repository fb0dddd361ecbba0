"""Memory stays the same however long a run is, in writing and in thinned reading."""

import tracemalloc

from layerwise.recorder import History, Recorder

GROUPS = [f"group {number}" for number in range(8)]


def record(recorder, first, last):
    for step in range(first, last):
        rates = dict.fromkeys(GROUPS, 1e-3 / (1 + step))
        recorder.log(step=step, loss=1 / (1 + step), rates=rates)


def test_writing_takes_no_more_memory_with_more_rows(tmp_path):
    recorder = Recorder(tmp_path)
    record(recorder, 0, 1000)
    tracemalloc.start()
    try:
        record(recorder, 1000, 5000)
        early, _ = tracemalloc.get_traced_memory()
        record(recorder, 5000, 20_000)
        late, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    recorder.close()
    # A single byte kept of each row would be 15,000.
    assert late - early < 4_000
    assert peak < 100_000


def peak_of_thinned_reading(run, rows):
    tracemalloc.start()
    try:
        history = History.load(run, rows=rows)
        return len(history.batch["step"]), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_thinned_reading_takes_no_more_memory_with_more_rows(tmp_path):
    peaks = []
    for name, last in (("short", 2000), ("long", 8000)):
        with Recorder(tmp_path / name) as recorder:
            record(recorder, 0, last)
        kept, peak = peak_of_thinned_reading(tmp_path / name, rows=200)
        assert 20 < kept <= 200
        peaks.append(peak)
    assert peaks[1] < 1.5 * peaks[0]
