"""What the clients of sinks wrote, read by their own readers."""

import sys
import types


def in_event_files(folder, monkeypatch):
    # TensorBoard's own switch for doing without TensorFlow, which takes long to load.
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", types.ModuleType("notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: {event.step: event.value for event in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def wandb_records(path):
    """Weights & Biases' offline file: blocks of 32 KiB, as LevelDB's log has them, of records."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        left = -place % 32768
        if 0 < left < 7:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(parts)
            parts = b""


def in_mlflow(sink, place):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=place)
    run = client.get_run(sink.run_id)
    found = {
        name: {point.step: point.value for point in client.get_metric_history(sink.run_id, name)}
        for name in run.data.metrics
    }
    return found, run
