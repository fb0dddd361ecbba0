"""What is recorded is what was trained: rows count applied updates, whoever makes them."""

from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from layerwise import linear, piecewise_constant
from layerwise.errors import RecorderError, ScheduleError
from layerwise.recorder import History
from layerwise.torch import Recorder, ScheduleLR, explain, param_groups
from tests._support.torch.networks import loss_of, make_batch, make_network
from tests._support.torch.sam import SAM

SCHEDULE = linear(10)
RULES = {"backbone": piecewise_constant([2], [0.0, 0.5])}


@pytest.fixture(autouse=True)
def _accelerate_state() -> Any:
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.mark.parametrize("two_steps", [True, False])
def test_sam(two_steps: bool, tmp_path: Path) -> None:
    model = make_network()
    optimizer = SAM(param_groups(model, RULES, lr=0.1), torch.optim.SGD)
    scheduler = ScheduleLR(optimizer, SCHEDULE)
    with Recorder(tmp_path, scheduler, model=model, ratios=1) as recorder:
        for step in range(4):

            def closure(step: int = step) -> Any:
                loss = loss_of(model, step)
                loss.backward()
                return loss

            loss = closure()
            if two_steps:
                optimizer.first_step()
                closure()
                optimizer.second_step()
            else:
                optimizer.step(closure)
            scheduler.step()
            recorder.log(loss=loss)
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [0, 1, 2, 3]
    assert batch["rates/default"].tolist() == pytest.approx([0.1, 0.09, 0.08, 0.07])
    assert batch["rates/backbone"].tolist() == pytest.approx([0.0, 0.0, 0.04, 0.035])
    assert (batch["ratios/head"] > 0).all()
    assert (batch["ratios/backbone.0"] > 0).tolist() == [False, False, True, True]


def test_an_optimizer_that_updates_where_no_hook_is_is_refused(tmp_path: Path) -> None:
    class Alone(torch.optim.SGD):
        """Makes its update itself, in second_step."""

        def second_step(self) -> None:
            for group in self.param_groups:
                for tensor in group["params"]:
                    tensor.data.add_(tensor.grad, alpha=-group["lr"])

    model = make_network()
    optimizer = Alone(model.parameters(), lr=0.1)
    recorder = Recorder(tmp_path, optimizer)
    loss_of(model, 0).backward()
    optimizer.second_step()
    with pytest.raises(RecorderError, match=r"second_step\(\), which has no hooks.*step and the"):
        recorder.log(loss=1.0)
    optimizer.step()
    recorder.log(loss=2.0)  # this one was counted
    recorder.close()
    assert History.load(tmp_path).batch["loss"].tolist() == [2.0]


@pytest.mark.parametrize("fused", [False, True], ids=["", "fused"])
def test_updates_that_a_scaler_leaves_out(fused: bool, tmp_path: Path) -> None:
    """A fused optimizer leaves them out by itself, in a step that does run."""
    model = make_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    with Recorder(tmp_path, optimizer, model=model, ratios=1) as recorder:
        for number in range(5):
            optimizer.zero_grad()
            loss = loss_of(model, number) * (np.inf if number in (1, 2) else 1.0)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            recorder.log(loss=loss)
        assert recorder.updates == 3
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [0, 1, 1, 1, 2]
    assert np.isfinite(batch["ratios/head"]).tolist() == [True, False, False, True, True]


@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")  # there is no GPU here
@pytest.mark.parametrize("given", ["scheduler", "optimizer", "theirs"])
def test_accelerate(given: str, tmp_path: Path) -> None:
    """Its wrappers count as what they wrap; the batches of an update have one step."""
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, {"backbone": 0.5}, lr=0.1))
    scheduler: Any = ScheduleLR(optimizer, SCHEDULE)
    if given == "theirs":
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, SCHEDULE)
    loader = DataLoader(TensorDataset(*make_batch(0, samples=24)), batch_size=4)
    model, optimizer, scheduler, loader = accelerator.prepare(model, optimizer, scheduler, loader)
    source = optimizer if given == "optimizer" else scheduler
    with Recorder(tmp_path, source, model=model, ratios=1) as recorder:
        for x, y in loader:
            with accelerator.accumulate(model):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                accelerator.backward(loss)
                optimizer.step()
                scheduler.step()
            recorder.log(loss=loss)
        assert recorder.updates == 3
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [0, 0, 1, 1, 2, 2]
    rates = pytest.approx([0.1, 0.1, 0.09, 0.09, 0.08, 0.08])
    assert batch["rates/default"].tolist() == rates
    assert np.isfinite(batch["ratios/head"]).tolist() == [False, True] * 3


def test_a_scheduler_that_accelerate_steps_once_for_each_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = ScheduleLR(optimizer, SCHEDULE)
    accelerate.Accelerator(cpu=True)
    prepared = accelerate.scheduler.AcceleratedScheduler(scheduler, optimizer)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 4)
    with Recorder(tmp_path, prepared) as recorder:
        for _ in range(3):
            optimizer.step()
            for _ in range(4):  # as the wrapper does on four processes
                scheduler.step()
            recorder.log(loss=1.0)
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [0, 1, 2]
    assert batch["rate"].tolist() == pytest.approx([0.1, 0.06, 0.02])


def test_explain_takes_accelerates_wrappers() -> None:
    accelerator = accelerate.Accelerator(cpu=True)
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, {"backbone": 0.5}, lr=0.1))
    bare = ScheduleLR(optimizer, SCHEDULE, last_epoch=3)
    wrapped_optimizer, wrapped = accelerator.prepare(optimizer, bare)
    assert explain(model, schedule=wrapped).to_dict() == explain(model, schedule=bare).to_dict()
    theirs = torch.optim.lr_scheduler.LambdaLR(optimizer, SCHEDULE)
    for scheduler in (theirs, accelerator.prepare(theirs)):
        with pytest.raises(ScheduleError, match=r"LambdaLR tells no rate before.*optimizer="):
            explain(model, schedule=scheduler)
    plan = explain(model, optimizer=wrapped_optimizer)
    assert plan.to_dict() == explain(model, optimizer=optimizer).to_dict()


class OwnRate(torch.optim.SGD):
    """Makes its own rate, as Adafactor with relative_step=True does."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, lr=0.1)
        for group in self.param_groups:
            group["lr"] = None

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for tensor in group["params"]:
                tensor.data.add_(tensor.grad, alpha=-0.1)


def test_an_optimizer_with_a_rate_of_its_own_is_recorded_without(tmp_path: Path) -> None:
    model = make_network()
    optimizer = OwnRate(model.parameters())
    with Recorder(tmp_path, optimizer, model=model, ratios=1) as recorder:
        for step in range(3):
            loss = loss_of(model, step)
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
        recorder.log_epoch(0)
    history = History.load(tmp_path)
    assert history.batch["step"].tolist() == [0, 1, 2]
    assert (history.batch["ratios/head"] > 0).all()
    assert not [name for name in (*history.batch, *history.epoch) if name.startswith("rate")]
    plan = explain(model, optimizer=optimizer).to_dict()
    assert set(plan["multiplier"]) == {1.0}
    assert "rate" not in " ".join(plan)


def test_ratios_of_complex_weights(tmp_path: Path) -> None:
    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.w = nn.Parameter(torch.randn(4, 4, dtype=torch.cfloat, generator=generator))
            self.head = nn.Linear(6, 2)

        def forward(self, x: Any) -> Any:
            return self.head(torch.fft.irfft(torch.fft.rfft(x, n=6) @ self.w, n=6))

    model = Spectral()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(tmp_path, optimizer, model=model, ratios=1) as recorder:
        before = model.w.detach().clone()
        loss = model(torch.ones(8, 6)).square().mean()
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)
    moved = np.linalg.norm((model.w.detach() - before).numpy()) / np.linalg.norm(before.numpy())
    assert History.load(tmp_path).batch["ratios/w"].tolist() == pytest.approx([moved], rel=1e-5)


@pytest.mark.parametrize("where", ["loss", "metrics", "ratios"])
def test_a_complex_value_is_refused(where: str, tmp_path: Path) -> None:
    value: Any = torch.tensor(1.0 + 1.0j)
    given: dict[str, Any] = {where: value if where == "loss" else {"a": value}}
    optimizer = torch.optim.SGD(make_network().parameters(), lr=0.1)
    with Recorder(tmp_path, optimizer) as recorder:
        with pytest.raises(RecorderError, match=r"complex64.*absolute value or its real part"):
            recorder.log(**given)
        recorder.log(loss=value.abs())
    assert len(History.load(tmp_path).batch["step"]) == 1


def test_ratios_under_sparse_gradients(tmp_path: Path) -> None:
    model = nn.Embedding(9, 4, sparse=True)
    optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=0.1)
    with Recorder(tmp_path, optimizer, model=model, ratios=1) as recorder:
        model(torch.arange(3)).square().sum().backward()
        optimizer.step()
        recorder.log(loss=1.0)
    assert History.load(tmp_path).batch["ratios/weight"][0] > 0
