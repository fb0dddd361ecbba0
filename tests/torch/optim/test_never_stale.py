"""What may change between two steps is seen by the next one."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import layerwise.torch.optim as ours
from layerwise import cosine, gradual_unfreezing
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.stepping import groups_of, parameters, same_bits, take_steps


def replace_state(optimizer: Any, step: int) -> None:
    if step == 3:
        for state in optimizer.state.values():
            for key, value in state.items():
                state[key] = value.clone() * 2


def add_group(optimizer: Any, step: int) -> None:
    if step == 3:
        generator = torch.Generator().manual_seed(9)
        late = torch.nn.Parameter(torch.randn(3, generator=generator))
        late.grad = torch.ones(3)
        optimizer.add_param_group({"params": [late], "lr": 0.5})


def change_options(optimizer: Any, step: int) -> None:
    optimizer.param_groups[step % 3]["betas"] = (0.9 - 0.05 * step, 0.99)
    optimizer.param_groups[0]["weight_decay"] = 0.1 * step


def keep_gradients(optimizer: Any, step: int) -> None:
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad(set_to_none=step % 2 == 0)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            old = gradients.pop(0)
            if parameter.grad is not None and old is not None:
                parameter.grad.add_(1.0)


def freeze_a_while(optimizer: Any, step: int) -> None:
    for parameter in optimizer.param_groups[1]["params"]:
        if step < 4:
            parameter.grad = None


def to_another_dtype(optimizer: Any, step: int) -> None:
    if step == 3:
        for parameter in optimizer.param_groups[2]["params"]:
            parameter.data = parameter.data.double()
            parameter.grad = None if parameter.grad is None else parameter.grad.double()
            for key, value in optimizer.state[parameter].items():
                optimizer.state[parameter][key] = value.double() if value.ndim else value


def load_its_own_state(optimizer: Any, step: int) -> None:
    if step == 3:
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


CHANGES = (
    replace_state,
    add_group,
    change_options,
    keep_gradients,
    freeze_a_while,
    to_another_dtype,
    load_its_own_state,
)


@pytest.mark.parametrize("way", ["foreach", "fused"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_next_step_sees_a_change(change: Callable[[Any, int], None], way: str) -> None:
    own = ours.AdamW(groups_of(parameters()), **{way: True})
    theirs = torch.optim.AdamW(groups_of(parameters()), **{way: True})
    unchanged = ours.AdamW(groups_of(parameters()), **{way: True})
    for optimizer in (own, theirs):
        take_steps(optimizer, range(8), change)
    take_steps(unchanged, range(8))
    assert same_bits(own, theirs)
    if change is not load_its_own_state:
        assert len(own.param_groups) != 3 or not same_bits(own, unchanged)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_goes_on_alone(copied: Callable[[Any], Any]) -> None:
    own = ours.SGD(groups_of(parameters()), momentum=0.9, foreach=True)
    take_steps(own, range(3))
    other = copied(own)
    assert type(other) is ours.SGD
    take_steps(other, range(3, 6))
    assert not same_bits(own, other)
    take_steps(own, range(3, 6))
    assert same_bits(own, other)


@pytest.mark.parametrize("way", ["foreach", "fused"])
def test_under_a_schedule_that_unfreezes(way: str) -> None:
    def run(module: Any) -> Any:
        torch.manual_seed(0)
        model = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(4)))
        groups = param_groups(model, gradual_unfreezing(every=3), lr=0.1)
        optimizer = module.SGD(groups, momentum=0.9, **{way: True})
        scheduler = ScheduleLR(optimizer, cosine(20))
        for step in range(12):
            optimizer.zero_grad()
            model(torch.full((2, 3), 1.0 + step)).square().mean().backward()
            optimizer.step()
            scheduler.step()
        return optimizer

    assert same_bits(run(ours), run(torch.optim))


def test_hooks_and_closures_run_once() -> None:
    seen: list[str] = []
    own = ours.Adam(groups_of(parameters()), foreach=True)
    handed = ours.Adam(groups_of(parameters()), foreach=False)
    torch.optim.Adam(groups_of(parameters())).step()  # from here on PyTorch's own step has hooks
    for optimizer in (own, handed):
        seen.clear()
        optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
        optimizer.register_step_post_hook(lambda *_: seen.append("after"))

        def closure(optimizer: Any = optimizer) -> torch.Tensor:
            seen.append("closure")
            optimizer.zero_grad()
            loss = sum(
                p.square().sum() for group in optimizer.param_groups for p in group["params"]
            )
            assert isinstance(loss, torch.Tensor)
            loss.backward()
            return loss

        loss = optimizer.step(closure)
        assert isinstance(loss, torch.Tensor)
        assert seen == ["before", "closure", "after"]
    assert same_bits(own, handed)
