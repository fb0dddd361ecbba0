"""Rates that are tensors belong to one group each, and are filled in place."""

from typing import Any

import pytest
import torch

from layerwise import exponential, linear
from layerwise.torch import ScheduleLR, find_lr, param_groups
from tests._support.torch.networks import bits, make_batch, make_network, through_a_file, update

FAST, SLOW = exponential(0.5), exponential(0.9)


def make(kind: Any = torch.optim.Adam, **options: Any) -> tuple[Any, Any]:
    """Two groups, to which PyTorch hands its default."""
    model = make_network()
    groups = [{"params": model.backbone.parameters()}, {"params": model.head.parameters()}]
    options = {"lr": torch.tensor(0.5)} | options
    return model, kind(groups, **options)


def rates(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


OPTIONS: dict[str, Any] = {"plain": {}, "fused": {"fused": True}}


@pytest.mark.parametrize("options", OPTIONS)
def test_a_default_of_two_groups(options: str) -> None:
    """The oracle has a number for each group; weights agree to the rounding of float32 rates."""
    ends = []
    for lr in (torch.tensor(0.5), 0.5):
        model, optimizer = make(**OPTIONS[options], lr=lr)
        scheduler = ScheduleLR(optimizer, [FAST, SLOW])
        kept = [group["lr"] for group in optimizer.param_groups]
        for step in range(4):
            update(model, optimizer, step)
            scheduler.step()
        assert rates(optimizer) == pytest.approx([0.5 * FAST(4), 0.5 * SLOW(4)])
        if isinstance(lr, torch.Tensor):
            assert [group["lr"] for group in optimizer.param_groups] == kept
            assert all(
                group["lr"] is k for group, k in zip(optimizer.param_groups, kept, strict=True)
            )
            assert float(optimizer.defaults["lr"]) == 0.5
        ends.append(list(model.parameters()))
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_group_that_is_added_has_the_default_and_not_the_rate_of_now() -> None:
    model = make_network()
    optimizer = torch.optim.SGD([{"params": model.head.parameters()}], lr=torch.tensor(0.5))
    scheduler = ScheduleLR(optimizer, FAST)
    for _ in range(3):
        scheduler.step()
    optimizer.add_param_group({"params": model.backbone.parameters()})
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    assert scheduler.base_lrs == [0.5, 0.5, 0.5]
    scheduler.step()
    assert rates(optimizer) == [0.5 * 0.5**4] * 3
    assert len({id(group["lr"]) for group in optimizer.param_groups}) == 3


@pytest.mark.parametrize("through", ["memory", "a file"])
def test_a_state_that_shares_one(through: str) -> None:
    _, optimizer = make()
    state = optimizer.state_dict()
    state = through_a_file(state) if through == "a file" else state
    scheduler = ScheduleLR(optimizer, [FAST, SLOW])
    optimizer.load_state_dict(state)
    scheduler.step()
    assert rates(optimizer) == pytest.approx([0.25, 0.45])


def test_groups_that_a_user_gave_one_tensor() -> None:
    model = make_network()
    shared = torch.tensor(0.5, dtype=torch.float64)
    groups = [{"params": [parameter], "lr": shared} for parameter in model.parameters()]
    optimizer = torch.optim.SGD(groups)
    schedules = [exponential(1 - 0.1 * place) for place in range(len(groups))]
    ScheduleLR(optimizer, schedules).step()
    assert rates(optimizer) == pytest.approx([0.5 * schedule(1) for schedule in schedules])
    assert optimizer.param_groups[0]["lr"] is shared


def test_betas_of_each_group() -> None:
    _, optimizer = make(betas=(torch.tensor(0.9), torch.tensor(0.99)))
    ScheduleLR(optimizer, betas=[linear(10, start=0.8), linear(10, start=0.4)]).step()
    first, second = (group["betas"] for group in optimizer.param_groups)
    assert (float(first[0]), float(second[0])) == pytest.approx((0.72, 0.36))


def test_a_search_gives_each_group_its_rate() -> None:
    found = []
    for shared in (True, False):
        model = make_network()
        lr = torch.tensor(0.1, dtype=torch.float64)
        groups = [
            {"params": model.backbone.parameters(), "lr": lr},
            {"params": model.head.parameters(), "lr": lr if shared else lr.clone()},
        ]
        groups[1] |= {"initial_lr": 0.05}  # at half the rate
        groups[0] |= {"initial_lr": 0.1}
        optimizer = torch.optim.SGD(groups)
        finding = find_lr(
            model,
            optimizer,
            torch.nn.functional.cross_entropy,
            [make_batch(step) for step in range(5)],
            steps=15,
            method="sweep",
            progress=False,
        )
        found.append(finding.losses)
        assert rates(optimizer) == [0.1, 0.1]
    assert found[0] == found[1]


def test_a_cut_of_a_tensor_is_taken_over() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(
        param_groups(model, {"head": 0.5}, lr=torch.tensor(0.1, dtype=torch.float64))
    )
    scheduler = ScheduleLR(optimizer, linear(10))
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    before = bits(group["lr"] for group in optimizer.param_groups)
    for group in optimizer.param_groups:
        group["lr"].fill_(float(group["lr"]))  # written, and not changed
    scheduler.get_last_lr()
    assert bits(group["lr"] for group in optimizer.param_groups) == before
    plateau.step(1.0)
    plateau.step(1.0)
    scheduler.step()
    assert rates(optimizer) == pytest.approx([0.01 * 0.9, 0.005 * 0.9], rel=1e-12)
