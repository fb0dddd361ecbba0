"""A compiled optimizer step: compiled once, however often the rates change."""

import subprocess
import sys
from typing import Any

import pytest
import torch
import torch._dynamo
from torch._dynamo.utils import counters

from layerwise import cosine, layer_decay, piecewise_constant, warmup
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import bits, set_gradients

# PyTorch's compiler warns about a module of its own when it is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")

SCHEDULE = warmup(20) >> cosine(980)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Any:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def make(multipliers: Any, layers: int = 12) -> tuple[list[Any], Any, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(layers)))
    groups = param_groups(model, multipliers, lr=torch.tensor(0.01))
    optimizer = torch.optim.AdamW(groups, lr=torch.tensor(0.01))
    return list(model.parameters()), optimizer, ScheduleLR(optimizer, SCHEDULE)


def test_twelve_groups_compile_once_over_a_thousand_rates() -> None:
    parameters, optimizer, scheduler = make(layer_decay(0.8))
    assert len(optimizer.param_groups) == 12
    step = torch.compile(optimizer.step, backend="aot_eager")
    seen, compiled = set(), {}
    for number in range(1_000):
        if number == 3:
            compiled = {kind: dict(counts) for kind, counts in counters.items()}
        if number % 100 == 0:
            set_gradients(parameters, number)
        step()
        scheduler.step()
        seen.add(tuple(float(rate) for rate in scheduler.get_last_lr()))
    assert counters["stats"]["unique_graphs"] == 1
    assert {kind: dict(counts) for kind, counts in counters.items()} == compiled
    assert len(seen) > 990  # float32 has some of them twice


def test_inductor_gives_the_weights_of_the_eager_step() -> None:
    ends = []
    for compiled in (True, False):
        parameters, optimizer, scheduler = make({"0": 0.1, "1": 0.5}, layers=3)
        step = torch.compile(optimizer.step) if compiled else optimizer.step
        for number in range(5):
            set_gradients(parameters, number)
            step()
            scheduler.step()
        ends.append(parameters)
    assert counters["stats"]["unique_graphs"] == 1
    for one, other in zip(*ends, strict=True):
        # The compiler fuses multiplications and additions, which round once in place of twice.
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert bits(ends[0]) != bits(make({"0": 0.1, "1": 0.5}, layers=3)[0])


def test_a_frozen_group_is_left_out_of_a_compiled_step() -> None:
    parameters, optimizer, scheduler = make({"0": piecewise_constant([4], [0.0, 1.0])}, layers=2)
    step = torch.compile(optimizer.step, backend="aot_eager")
    before = bits(parameters[:2])
    for number in range(8):
        assert (bits(parameters[:2]) == before) == (number <= 4)
        set_gradients(parameters, number)
        if number < 4:
            parameters[0].grad.fill_(float("nan"))
        step()
        scheduler.step()
    assert all(bool(p.isfinite().all()) for p in parameters)
    assert counters["stats"]["unique_graphs"] == 2  # one without the frozen layer, one with it


@pytest.mark.parametrize("module", ["layerwise.torch", "layerwise.torch.optim"])
def test_importing_layerwise_loads_no_compiler(module: str) -> None:
    """It takes as long as PyTorch itself, and few who import this compile anything."""
    code = f"import sys, {module}\nprint('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
