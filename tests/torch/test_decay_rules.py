"""Weight decay rules in PyTorch: equal to one optimizer for each rate and decay, bit for bit."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn

from layerwise import cosine, linear
from layerwise.errors import MultiplierError, OptimizerError, UnmatchedRuleError
from layerwise.torch import ScheduleLR, biases_and_norms, explain, param_groups


def make_net() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("body", nn.Linear(4, 3))
    net.add_module("head", nn.Linear(3, 1))
    return net


def step(net: nn.Module, optimizers: list[torch.optim.Optimizer], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    for optimizer in optimizers:
        optimizer.step()


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "make",
    [torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD, torch.optim.NAdam, torch.optim.RMSprop],
)
def test_equals_one_optimizer_for_each_rate_and_decay(make: Any) -> None:
    mine, theirs = make_net(), make_net()
    groups = param_groups(
        mine,
        {"body": 0.5},
        lr=0.1,
        weight_decay=0.2,
        decay_rules={"body": 0.3, "head.bias": 0},
    )
    one = make(groups)
    several = [
        make(theirs.body.parameters(), lr=0.1 * 0.5, weight_decay=0.2 * 0.3),
        make([theirs.head.weight], lr=0.1, weight_decay=0.2),
        make([theirs.head.bias], lr=0.1, weight_decay=0.0),
    ]
    for seed in range(4):
        step(mine, [one], seed)
        step(theirs, several, seed)
    assert same(mine, theirs)


def test_groups_and_their_names() -> None:
    groups = param_groups(
        make_net(),
        {"body": 0.5},
        lr=0.1,
        weight_decay=0.5,
        no_decay=biases_and_norms,
        decay_rules={"body": 0.5, "head": linear(10)},
    )
    found = [(group["name"], group["weight_decay"]) for group in groups]
    assert found == [
        ("body, weight decay 0.25", 0.25),
        ("body, no decay", 0.0),
        ("default, weight decay 0.5 * linear(10)", 0.5),
        ("default, no decay", 0.0),
    ]
    assert groups.plan.weight_decays(5) == [0.25, 0.0, 0.25, 0.0]
    apart = param_groups(make_net(), lr=0.1, weight_decay=0.5, decay_rules={"body": 1})
    assert [group["name"] for group in apart] == ["default"]


def make_moving(
    net: nn.Module, factor: Any = None
) -> tuple[torch.optim.Optimizer, ScheduleLR, dict[str, Any]]:
    options: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.5}
    groups = param_groups(net, decay_rules={"body": cosine(8), "head": lambda t: t / 4}, **options)
    optimizer = torch.optim.AdamW(groups)
    return optimizer, ScheduleLR(optimizer, weight_decay_factor=factor), options


def test_a_decay_that_moves_under_schedule_lr() -> None:
    mine, theirs = make_net(), make_net()
    optimizer, scheduler, _ = make_moving(mine, factor=linear(8))
    hand = torch.optim.AdamW([{"params": p.parameters()} for p in theirs], lr=0.1)
    for t in range(6):
        decays = [0.5 * linear(8)(t) * cosine(8)(t), 0.5 * linear(8)(t) * (t / 4)]
        for group, decay in zip(hand.param_groups, decays, strict=True):
            group["weight_decay"] = decay
        step(theirs, [hand], t)
        step(mine, [optimizer], t)
        scheduler.step()
    assert same(mine, theirs)


def test_saved_and_resumed_in_any_order() -> None:
    net = make_net()
    optimizer, scheduler, _ = make_moving(net)
    for t in range(3):
        step(net, [optimizer], t)
        scheduler.step()
    file = io.BytesIO()
    torch.save((optimizer.state_dict(), scheduler.state_dict()), file)
    at_three = copy.deepcopy(net)
    step(net, [optimizer], 3)
    scheduler.step()
    step(net, [optimizer], 4)
    for first in (0, 1):
        file.seek(0)
        states = torch.load(file, weights_only=True, map_location="cpu")
        again = copy.deepcopy(at_three)
        loaded, resumed, _ = make_moving(again)
        keep = loaded, resumed
        for place in (first, 1 - first):
            keep[place].load_state_dict(states[place])
        found = [group["weight_decay"] for group in loaded.param_groups]
        assert found == [0.5 * cosine(8)(3), 0.5 * 3 / 4]
        step(again, [loaded], 3)
        resumed.step()
        step(again, [loaded], 4)
        assert same(net, again)


def test_a_state_with_other_decays_is_warned_of() -> None:
    saved = torch.optim.AdamW(
        param_groups(make_net(), lr=0.1, weight_decay=0.1, decay_rules={"body": cosine(10)})
    ).state_dict()
    other = param_groups(make_net(), lr=0.1, weight_decay=0.1, decay_rules={"body": cosine(20)})
    optimizer = torch.optim.AdamW(other)
    for group, kept in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        kept["name"] = group["name"]
    with pytest.warns(UserWarning, match="other multipliers"):
        optimizer.load_state_dict(saved)


def test_a_decay_that_moves_needs_schedule_lr() -> None:
    net = make_net()
    groups = param_groups(net, lr=0.1, weight_decay=0.1, decay_rules={"body": cosine(10)})
    with pytest.raises(OptimizerError, match="there is no ScheduleLR to apply it"):
        step(net, [torch.optim.AdamW(groups)], 0)


def test_explain() -> None:
    net = make_net()
    plan = explain(net, weight_decay=0.5, decay_rules={"head": 0.5}, no_decay="head.bias")
    assert plan.weight_decays(0) == [0.5, 0.5, 0.25, 0.0]
    optimizer = torch.optim.AdamW(plan_groups(net))
    assert explain(net, optimizer=optimizer).weight_decays(0) == [0.25, 0.25, 0.5, 0.5]
    with pytest.raises(OptimizerError, match="decay_rules="):
        explain(net, optimizer=optimizer, decay_rules={"head": 1})


def plan_groups(net: nn.Module) -> Any:
    return param_groups(net, lr=0.1, weight_decay=0.5, decay_rules={"body": 0.5})


@pytest.mark.parametrize("make", [torch.optim.Rprop, torch.optim.SparseAdam])
def test_an_optimizer_without_weight_decay(make: Any) -> None:
    with pytest.raises(OptimizerError, match=f"{make.__name__} has no weight decay"):
        make(plan_groups(make_net()))
    optimizer = make(make_net().parameters())
    with pytest.raises(OptimizerError, match="has no weight decay"):
        optimizer.add_param_group(plan_groups(make_net())[0])
    assert len(optimizer.param_groups) == 1


def test_bad_rules() -> None:
    net = make_net()
    with pytest.raises(MultiplierError, match="no weight decay for them to multiply"):
        param_groups(net, lr=0.1, decay_rules={"body": 0.5})
    with pytest.raises(MultiplierError, match="The decay rule 'body' has the multiplier -1"):
        param_groups(net, lr=0.1, weight_decay=0.1, decay_rules={"body": -1})
    with pytest.raises(UnmatchedRuleError, match="A rule of decay_rules="):
        param_groups(net, lr=0.1, weight_decay=0.1, decay_rules={"bdoy": 1})


@pytest.mark.parametrize("way", ["factor", "rule", "both"])
def test_a_decay_that_is_a_tensor_is_filled_and_does_not_compound(way: str) -> None:
    net, factor, rule = make_net(), linear(4, 1.0, 0.2), linear(8, 1.0, 0.5)
    rules = None if way == "factor" else {"body": rule}
    groups = param_groups(net, lr=0.1, weight_decay=0.5, decay_rules=rules)
    moving = ["initial_weight_decay" in group for group in groups]
    for group in groups:
        group["weight_decay"] = torch.tensor(0.5)
    optimizer = torch.optim.SGD(groups, lr=0.1)
    tensors = [group["weight_decay"] for group in optimizer.param_groups]
    scheduler = ScheduleLR(optimizer, weight_decay_factor=None if way == "rule" else factor)
    for number in range(6):
        triples = zip(optimizer.param_groups, tensors, moving, strict=True)
        for group, tensor, has_rule in triples:
            expected = 0.5
            if way != "rule":
                expected *= factor(number)
            if has_rule:
                expected *= rule(number)
            assert group["weight_decay"] is tensor
            assert float(tensor) == pytest.approx(expected, rel=1e-6)
        optimizer.step()
        scheduler.step()
