"""Under ``GradScaler``: scaled gradients, and updates that are left out."""

from typing import Any

import pytest
import torch

import layerwise.torch.optim as ours
from tests._support.torch.stepping import FUSED, groups_of, parameters, same_bits


def run(module: Any, name: str, infinite: bool, way: dict[str, bool]) -> Any:
    """Six scaled steps, of which the fourth may have an infinite gradient."""
    optimizer = getattr(module, name)(groups_of(parameters()), **way)
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0, growth_interval=2)
    for step in range(6):
        optimizer.zero_grad()
        tensors = [p for group in optimizer.param_groups for p in group["params"]]
        factor = float("inf") if infinite and step == 3 else 1.0 + step
        loss = torch.stack([(factor * p).square().sum() for p in tensors]).sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    return optimizer


@pytest.mark.parametrize("infinite", [False, True])
@pytest.mark.parametrize("name", FUSED)
def test_inside_the_fused_kernel(name: str, infinite: bool) -> None:
    own, theirs = (run(module, name, infinite, {"fused": True}) for module in (ours, torch.optim))
    assert same_bits(own, theirs)
    if name != "SGD":  # it counts no steps
        taken = {float(state["step"]) for state in own.state.values()}
        assert taken == {5.0 if infinite else 6.0}


def test_before_the_step_where_it_is_not_fused() -> None:
    own, theirs = (run(module, "AdamW", True, {"foreach": True}) for module in (ours, torch.optim))
    assert same_bits(own, theirs)
