"""Recorder for plain loops: own losses, and the rates that the optimizer used."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from layerwise import cosine, linear, piecewise_constant, warmup
from layerwise.errors import RecorderError
from layerwise.recorder import History
from layerwise.torch import Recorder, ScheduleLR, param_groups
from layerwise.torch._recorder.device_rows import fetched
from tests._support.torch.networks import bits, loss_of, make_network, update

STEPS = 12
RULES = {"backbone": 0.5, "backbone.1": piecewise_constant([5], [0.0, 1.0])}
SCHEDULE = warmup(3, start=0.25) >> cosine(20)


def make(rules: Any = RULES, schedule: Any = SCHEDULE) -> tuple[Any, Any, Any]:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, rules, lr=0.1))
    return model, optimizer, ScheduleLR(optimizer, schedule)


def weights(model: Any) -> dict[str, Any]:
    return {name: p.detach().double().clone() for name, p in model.named_parameters()}


def size_of_gradient(parameter: torch.Tensor) -> Any:
    """A frozen parameter has none."""
    return 1.0 if parameter.grad is None else parameter.grad.double().norm()


def test_a_row_has_the_loss_and_the_rates_that_were_used(tmp_path: Path) -> None:
    model, optimizer, scheduler = make()
    losses, moved = [], []
    with Recorder(tmp_path, scheduler, model=model, ratios=3) as recorder:
        for step in range(STEPS):
            optimizer.zero_grad()
            loss = loss_of(model, step)
            loss.backward()
            before = weights(model)
            optimizer.step()
            scheduler.step()  # the next rates are there already
            recorder.log(loss=loss, metrics={"double": 2 * loss}, epoch=step // 5)
            losses.append(loss.item())
            after = weights(model)
            moved.append(
                {
                    name: (
                        ((before[name] - after[name]).norm() / size_of_gradient(p)).item(),
                        ((before[name] - after[name]).norm() / before[name].norm()).item(),
                    )
                    for name, p in model.named_parameters()
                }
            )
    history = History.load(tmp_path)
    batch = history.batch
    assert batch["step"].tolist() == list(range(STEPS))
    assert batch["epoch"].tolist() == [step // 5 for step in range(STEPS)]
    assert batch["loss"].tolist() == pytest.approx(losses, rel=1e-7)
    assert batch["double"].tolist() == pytest.approx([2 * loss for loss in losses])
    assert batch["rate"].tolist() == pytest.approx([0.1 * SCHEDULE(s) for s in range(STEPS)])
    # What plain SGD moved a weight by is its rate times the gradient.
    for group, name in (("backbone", "backbone.0.weight"), ("default", "head.weight")):
        used = [each[name][0] for each in moved]
        assert batch[f"rates/{group}"].tolist() == pytest.approx(used, rel=1e-3)
    assert batch["rates/backbone.1"][:5].tolist() == [0.0] * 5
    assert batch["rates/backbone.1"][6] == pytest.approx(moved[6]["backbone.1.weight"][0], rel=1e-3)
    ratios = batch["ratios/head"]
    assert np.isfinite(ratios).tolist() == [step % 3 == 0 for step in range(STEPS)]
    for step in (0, 3, 6, 9):
        assert ratios[step] > 0
        norms = [moved[step][f"head.{kind}"] for kind in ("weight", "bias")]
        assert min(n[1] for n in norms) * 0.99 <= ratios[step] <= max(n[1] for n in norms) * 1.01
    assert batch["ratios/backbone.1"][0] == 0
    assert history.plan is not None


def test_training_is_the_same_and_the_optimizer_is_left(tmp_path: Path) -> None:
    def run(record: bool) -> Any:
        model, optimizer, scheduler = make()
        recorder = Recorder(tmp_path, scheduler, model=model, ratios=1) if record else None
        for step in range(5):
            optimizer.zero_grad()
            loss = loss_of(model, step)
            loss.backward()
            optimizer.step()
            scheduler.step()
            if recorder is not None:
                recorder.log(loss=loss)
        hooks = len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)
        if recorder is not None:
            recorder.close()
            recorder.close()
            after = (
                len(optimizer._optimizer_step_pre_hooks),
                len(optimizer._optimizer_step_post_hooks),
            )
            assert after == (hooks[0] - 1, hooks[1] - 1)
        return bits(model.parameters())

    assert run(record=True) == run(record=False)


def test_a_plain_optimizer_counts_its_own_updates(tmp_path: Path) -> None:
    model = make_network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.01))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    with Recorder(tmp_path, scheduler, start=100, every=2) as recorder:
        for batch in range(6):
            (loss_of(model, batch) / 2).backward()
            if batch % 2:  # every second batch is an update
                optimizer.step()
                scheduler.step()
            recorder.log(loss=float(batch))
        recorder.log_epoch(0, metrics={"accuracy": 0.5})
    history = History.load(tmp_path)
    assert history.batch["step"].tolist() == [100, 100, 102, 102]
    assert history.batch["loss"].tolist() == [0.0, 1.0, 4.0, 5.0]
    rates = pytest.approx([0.01, 0.01, 0.0025, 0.0025])
    assert history.batch["rates/group 0"].tolist() == rates
    assert history.batch["rate"].tolist() == rates
    assert history.epoch["rates/group 0"].tolist() == pytest.approx([0.01 / 8])
    assert history.epoch["accuracy"].tolist() == [0.5]


def test_an_epoch_ends_after_its_last_batch_whether_that_is_kept_or_not(tmp_path: Path) -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with Recorder(tmp_path, optimizer, every=10) as recorder:
        for epoch in range(2):
            for step in range(25):
                update(model, optimizer, step)
                recorder.log(loss=1.0)
            recorder.log_epoch(epoch)
    assert History.load(tmp_path).epoch["step"].tolist() == [25, 50]


def test_an_update_that_a_scaler_leaves_out_is_no_step(tmp_path: Path) -> None:
    model, optimizer, scheduler = make(schedule=linear(10))
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    with Recorder(tmp_path, scheduler) as recorder:
        for batch in range(4):
            optimizer.zero_grad()
            loss = loss_of(model, batch) * (math.inf if batch == 1 else 1.0)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scale = scaler.get_scale()
            scaler.update()
            if scaler.get_scale() >= scale:
                scheduler.step()
            recorder.log(loss=loss)
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [0, 1, 1, 2]
    assert batch["rates/default"].tolist() == pytest.approx([0.1, 0.09, 0.09, 0.08])


def test_training_that_is_resumed_goes_on_in_the_record(tmp_path: Path) -> None:
    for begin, end in ((0, 6), (4, 8)):
        model, optimizer, scheduler = make()
        scheduler.step(begin)
        with Recorder(tmp_path, scheduler, model=model) as recorder:
            for step in range(begin, end):
                optimizer.zero_grad()
                loss_of(model, step).backward()
                optimizer.step()
                scheduler.step()
                recorder.log(loss=float(step + begin))
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == list(range(8))
    assert batch["loss"].tolist() == [0.0, 1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 11.0]


def test_each_row_on_the_cpu_is_written_at_once(tmp_path: Path) -> None:
    model, optimizer, scheduler = make()
    recorder = Recorder(tmp_path, scheduler)
    for _ in range(3):
        recorder.log(loss=loss_of(model, 0))
        optimizer.step()
        scheduler.step()
    assert len(History.load(tmp_path).batch["loss"]) == 3  # not closed
    recorder.close()


def test_values_of_several_devices_are_fetched_together() -> None:
    rows = [{"step": n, "loss": torch.tensor(n / 3), "rates": {"a": 0.5}} for n in range(3)]
    tenth = torch.tensor([0.1], dtype=torch.float64)
    found = fetched([*rows, {"step": 3, "metrics": {"b": tenth}}])
    assert [row.get("loss") for row in found] == pytest.approx([0.0, 1 / 3, 2 / 3, None])
    assert found[3] == {"step": 3, "metrics": {"b": 0.1}}
    assert found[1]["rates"] == {"a": 0.5}


def test_values_may_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do on an accelerator: here a recorder that takes the CPU for one."""
    monkeypatch.setattr("layerwise.torch._recorder.recorder.is_on_device", lambda row: True)
    model, optimizer, scheduler = make()
    with Recorder(tmp_path, scheduler, wait=1e9) as recorder:
        total = torch.zeros(())
        for step in range(70):
            optimizer.zero_grad()
            loss_of(model, step).backward()
            optimizer.step()
            scheduler.step()
            total += 1  # changes in place what was logged
            recorder.log(loss=total)
            written = len(History.load(tmp_path).batch.get("loss", [])) if step > 62 else 0
            assert written == (64 if step > 62 else 0)
    batch = History.load(tmp_path).batch
    assert batch["loss"].tolist() == list(range(1, 71))
    assert batch["step"].tolist() == list(range(70))


@pytest.mark.parametrize(
    ("match", "options"),
    [
        ("ratios must.*got 0", {"ratios": 0}),
        ("ratios must.*got True", {"ratios": True}),
        ("Give model=", {"ratios": 2}),
        ("wait", {"wait": -1}),
        ("every", {"every": 0}),
    ],
)
def test_bad_arguments(match: str, options: dict[str, Any], tmp_path: Path) -> None:
    _, optimizer, _ = make()
    hooks = len(optimizer._optimizer_step_pre_hooks)
    with pytest.raises(RecorderError, match=match):
        Recorder(tmp_path, optimizer, **options)
    assert len(optimizer._optimizer_step_pre_hooks) == hooks


def test_bad_values(tmp_path: Path) -> None:
    _, optimizer, _ = make()
    with pytest.raises(RecorderError, match="neither an optimizer nor a scheduler"):
        Recorder(tmp_path, "adam")  # type: ignore[arg-type]
    with Recorder(tmp_path, optimizer) as recorder:
        with pytest.raises(RecorderError, match=r"shape \(3,\)"):
            recorder.log(loss=torch.zeros(3))  # type: ignore[arg-type]
        with pytest.raises(RecorderError, match="'loss'"):
            recorder.log(loss="low")  # type: ignore[arg-type]
        recorder.log(loss=1.0)
    with pytest.raises(RecorderError, match="closed"):
        recorder.log(loss=1.0)
    assert History.load(tmp_path).batch["loss"].tolist() == [1.0]


def test_lightning_and_transformers_are_imported_by_their_own_modules_only() -> None:
    code = """import sys, layerwise.torch
assert not {"lightning", "transformers", "pytorch_lightning"} & set(sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.complex128])
def test_ratios_of_any_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    """And of two in one layer."""
    layer = torch.nn.ParameterDict({"a": torch.ones(4, dtype=dtype), "b": torch.ones(3)})
    model = torch.nn.ModuleDict({"layer": layer})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with Recorder(tmp_path, optimizer, model=model, ratios=1) as recorder:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        recorder.log(loss=1.0)
    assert History.load(tmp_path).ratios["layer"].tolist() == [pytest.approx(0.5)]
