"""Modules and parameters themselves as keys of rules in PyTorch."""

from typing import Any

import pytest
import torch
from torch import nn

from layerwise import AmbiguousRuleError, UnmatchedRuleError, layer_decay
from layerwise.errors import MultiplierError
from layerwise.torch import explain, param_groups


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3, bias=False))
        self.head = nn.Linear(3, 1)


def values(model: Any, rules: Any = None, **options: Any) -> list[float]:
    return explain(model, rules, **options).multipliers(0).tolist()


@pytest.mark.parametrize("match", ["prefix", "substring", "glob", "regex"])
def test_modules_and_parameters(match: str) -> None:
    net = Net()
    assert values(net, {net.body: 0.1, net.head: 2}, match=match) == [0.1, 2, 2]
    assert values(net, {net.head.weight: 0.5}, match=match) == [1, 0.5, 1]
    assert values(net, [(net.head.bias, 0.5), {"body": 2}], match=match)[2] == 0.5


def test_beside_names_strategies_and_the_model() -> None:
    net = Net()
    assert values(net, {net.body: 0.1, net.body[0]: 0.5}) == [0.5, 1, 1]
    assert values(net, {net.head: 0.1, "head.bias": 3, "h": 7}) == [1, 0.1, 3]
    assert values(net, {net: 0.1, net.head: 2}) == [0.1, 2, 2]
    assert values(net, {net: 0.1, "h": 2}) == [0.1, 2, 2]
    assert values(net, [{net.head: 2}, layer_decay(0.5)]) == [0.5, 2, 2]


def test_levels_of_modules_that_can_be_iterated_over() -> None:
    net = Net()
    assert values(net, layer_decay(0.5), layers=[net.head, net.body]) == [1, 0.5, 0.5]
    levels = [[net.body, net.head.bias], net.head.weight]
    assert values(net, layer_decay(0.5), layers=levels) == [0.5, 1, 0.5]


@pytest.mark.parametrize("text", ["head", "head.", "module.head", "module.head."])
def test_the_same_name_as_text_is_a_conflict(text: str) -> None:
    net = nn.DataParallel(Net())
    assert values(net, {net.module.head: 0.1}) == [1, 0.1, 0.1]
    with pytest.raises(AmbiguousRuleError, match=r"module\.head"):
        values(net, {net.module.head: 0.1, text: 0.5})


def test_compiled_and_named_parameters() -> None:
    net = Net()
    assert values(torch.compile(net, backend="eager"), {net.head: 0.1}) == [1, 0.1, 0.1]
    assert values(net.named_parameters(), {net.head: 0.1, net.body[0]: 2}) == [2, 0.1, 0.1]
    assert values(dict(net.named_parameters()), {net: 0.1, net.head.bias: 2}) == [0.1, 0.1, 2]


def test_shared_parameters_and_modules() -> None:
    net = Net()
    net.tied = nn.Linear(4, 3, bias=False)
    net.tied.weight = net.body[0].weight
    assert values(net, {net.tied: 0.5}) == [0.5, 1, 1]
    with pytest.raises(AmbiguousRuleError, match=r"'body\.0\.weight', 'tied\.weight'"):
        values(net, {net.tied: 0.5, net.body: 0.1})
    assert values(net, {net.tied.weight: 0.3, net.body: 0.1, net.tied: 9}) == [0.3, 1, 1]
    net.again = net.head
    assert values(net, {net.head: 0.5}) == [1, 0.5, 0.5]
    with pytest.raises(AmbiguousRuleError, match="'again'"):
        values(net, {net.head: 0.5, "again": 0.1})


def test_what_is_not_in_the_model() -> None:
    net = Net()
    for other in (nn.Linear(2, 2), nn.Parameter(torch.ones(2)), nn.ReLU()):
        with pytest.raises(UnmatchedRuleError, match=f"<{type(other).__name__}.*not a part of"):
            values(net, {other: 0.1})
        with pytest.raises(UnmatchedRuleError, match="not a part of"):
            values(net.named_parameters(), {other: 0.1})
        assert values(net, {other: 0.1}, strict=False) == [1, 1, 1]


def test_bad_keys() -> None:
    net = Net()
    with pytest.raises(MultiplierError, match="The key 3 of a rule must be a string"):
        values(net, {3: 0.1})
    with pytest.raises(MultiplierError, match="'head' has the multiplier -1"):
        values(net, {net.head: -1})
    with pytest.raises(MultiplierError, match=r"decay_rules=\{module: 0\}"):
        param_groups(net, lr=0.1, weight_decay=0.1, no_decay=net.head)


def test_groups() -> None:
    net = Net()
    groups = param_groups(
        net, {net.head: 0.5}, lr=1.0, weight_decay=0.5, decay_rules={net.head.bias: 0}
    )
    found = [(g["name"], g["lr"], g["weight_decay"]) for g in groups]
    assert found == [("default", 1.0, 0.5), ("head", 0.5, 0.5), ("head, no decay", 0.5, 0.0)]
    assert groups[1]["params"][0] is net.head.weight
