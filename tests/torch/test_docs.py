"""docs/torch.md: every block runs, and the ways that it shows count applied updates."""

import math
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState

from layerwise import exponential, linear
from layerwise.torch import ScheduleLR, param_groups
from tests._support import pages
from tests._support.torch.networks import bits

PAGE = pages.DOCS / "torch.md"

# PyTorch's compiler warns about a module of its own when it is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the page has made when all its blocks have run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("docs"))
        return pages.run(PAGE)


def test_the_page_runs(page: dict[str, Any]) -> None:
    assert [group["name"] for group in page["groups"]] == [
        "backbone",
        "backbone, no decay",
        "default",
        "default, no decay",
    ]
    assert page["step"] == 20
    assert page["scheduler"].last_epoch == 20
    assert page["compiled_scheduler"].last_epoch == 5
    assert page["unfreezing_scheduler"].get_last_lr() == [0.0, 1e-3]
    assert [group["momentum"] for group in page["sgd"].param_groups] == [0.95, 0.95]


def make(page: dict[str, Any]) -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.Linear(6, 4))
    optimizer = torch.optim.AdamW(param_groups(model, {"0": 0.5}, lr=0.01))
    return model, optimizer, ScheduleLR(optimizer, exponential(0.5))


def bad(batch: Any) -> Any:
    """A batch whose gradients are not finite."""
    inputs, targets = batch
    return inputs * math.inf, targets


def test_accumulation_counts_updates(page: dict[str, Any]) -> None:
    model, optimizer, scheduler = make(page)
    page["train_accumulating"](model, optimizer, scheduler, page["batches"](10), accumulate=4)
    assert scheduler.last_epoch == 2
    assert scheduler.get_last_lr() == [0.005 / 4, 0.01 / 4]


@pytest.mark.parametrize("fused", [False, True])
def test_updates_that_the_scaler_leaves_out_do_not_count(page: dict[str, Any], fused: bool) -> None:
    model, _, _ = make(page)
    optimizer = torch.optim.AdamW(param_groups(model, {"0": 0.5}, lr=0.01), fused=fused)
    scheduler = ScheduleLR(optimizer, exponential(0.5))
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    counts = []
    for number, batch in enumerate(page["batches"](6)):
        before = bits(model.parameters())
        given = bad(batch) if number in (0, 3) else batch
        page["scaled_update"](model, optimizer, scheduler, scaler, given)
        assert (bits(model.parameters()) == before) == (number in (0, 3))
        counts.append(scheduler.last_epoch)
    assert counts == [0, 1, 2, 2, 3, 4]
    assert scheduler.get_last_lr() == [0.005 / 16, 0.01 / 16]


@pytest.fixture
def _accelerate_state() -> Any:
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.mark.usefixtures("_accelerate_state")
@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")  # there is no GPU here
def test_accelerate_counts_updates(page: dict[str, Any]) -> None:
    model, optimizer, scheduler = make(page)
    loader = torch.utils.data.DataLoader(list(page["batches"](10)), batch_size=None)
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
    page["train_accelerated"](accelerator, model, optimizer, scheduler, loader)
    assert scheduler.last_epoch == 3  # after 4, 8 and the last of 10 batches
    assert scheduler.get_last_lr() == [0.005 / 8, 0.01 / 8]


@pytest.mark.usefixtures("_accelerate_state")
def test_accelerate_does_not_count_updates_that_are_left_out(page: dict[str, Any]) -> None:
    model, optimizer, scheduler = make(page)
    accelerator = accelerate.Accelerator(cpu=True)
    # Accelerate makes a scaler only where there is a GPU; this is the same one for the CPU.
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    loader = [bad(b) if n in (1, 2) else b for n, b in enumerate(page["batches"](6))]
    loader = torch.utils.data.DataLoader(loader, batch_size=None)
    page["train_accelerated"](accelerator, model, optimizer, scheduler, loader)
    assert scheduler.last_epoch == 4
    assert all(bool(p.isfinite().all()) for p in model.parameters())


@pytest.mark.usefixtures("_accelerate_state")
def test_accelerate_saves_and_loads(page: dict[str, Any], tmp_path: Path) -> None:
    model, optimizer, scheduler = make(page)
    accelerator = accelerate.Accelerator(cpu=True)
    prepared = accelerator.prepare(model, optimizer, scheduler)
    for _ in range(3):
        prepared[1].step()
        prepared[2].step()
    accelerator.save_state(str(tmp_path))
    rates = prepared[2].get_last_lr()
    for _ in range(2):
        prepared[1].step()
        prepared[2].step()
    accelerator.load_state(str(tmp_path))
    assert prepared[2].get_last_lr() == rates == [0.005 / 8, 0.01 / 8]
    prepared[2].step()
    assert scheduler.last_epoch == 4


@pytest.mark.usefixtures("_accelerate_state")
def test_a_scheduler_around_accelerates_optimizer(page: dict[str, Any]) -> None:
    """Made after prepare(): the hooks have to reach the optimizer that is inside."""
    model, _, _ = make(page)
    optimizer = torch.optim.AdamW(param_groups(model, {"0": linear(3, start=0, end=1)}, lr=0.01))
    prepared = accelerate.Accelerator(cpu=True).prepare(optimizer)
    scheduler = ScheduleLR(prepared)
    before = bits(model[0].parameters())
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, math.nan if parameter.shape[-1] > 7 else 1.0)
    prepared.step()
    scheduler.step()
    assert bits(model[0].parameters()) == before
    assert scheduler.get_last_lr() == [0.01 * linear(3, start=0, end=1)(1), 0.01]
