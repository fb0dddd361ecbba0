"""param_groups: who is in which group, at which rate, under which name."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from layerwise import cosine, layer_decay, linear
from layerwise.errors import UnmatchedRuleError
from layerwise.torch import ScheduleLR, biases_and_norms, param_groups
from tests._support.torch.networks import Network, make_network


def by_name(groups: Any, model: nn.Module) -> dict[str, Any]:
    """The group of each parameter; that it is in one only is checked here."""
    names = {id(p): name for name, p in model.named_parameters()}
    found: dict[str, Any] = {}
    for group in groups:
        for parameter in group["params"]:
            assert names[id(parameter)] not in found
            found[names[id(parameter)]] = group
    return found


def rates(groups: Any, model: nn.Module) -> dict[str, float]:
    return {name: group["lr"] for name, group in by_name(groups, model).items()}


def test_rates_are_base_times_multiplier_and_the_longest_prefix_wins() -> None:
    model = make_network()
    groups = param_groups(model, {"backbone": 0.1, "backbone.3": 0.5}, lr=0.02)
    assert rates(groups, model) == {
        "backbone.0.weight": 0.02 * 0.1,
        "backbone.0.bias": 0.02 * 0.1,
        "backbone.1.weight": 0.02 * 0.1,
        "backbone.1.bias": 0.02 * 0.1,
        "backbone.3.weight": 0.02 * 0.5,
        "backbone.3.bias": 0.02 * 0.5,
        "head.weight": 0.02,
        "head.bias": 0.02,
    }
    assert [group["name"] for group in groups] == ["backbone", "backbone.3", "default"]


@pytest.mark.parametrize(
    ("match", "rules", "head"),
    [
        ("prefix", {"head": 3}, 3),
        ("prefix", {"head.": 3}, 3),
        ("substring", {"ead": 3, "backbone": 2}, 3),
        ("glob", {"he*": 3, "*.weight": 2}, 3),
        ("glob", {"*.weight": 2, "he*": 3}, 2),
        ("regex", {"^h.*t$": 3}, 3),
    ],
)
def test_match_modes(match: str, rules: dict[str, float], head: float) -> None:
    model = make_network()
    groups = param_groups(model, rules, lr=1.0, match=match)
    assert rates(groups, model)["head.weight"] == head


def test_as_few_groups_as_settings() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(200)))
    rules = {f"{place}.": (0.1, 0.2, 1.0)[place % 3] for place in range(200)}
    groups = param_groups(model, rules, lr=1.0)
    assert [group["lr"] for group in groups] == [0.1, 0.2, 1.0]
    assert len(by_name(groups, model)) == 400
    both = param_groups(model, rules, lr=1.0, weight_decay=0.1, no_decay=biases_and_norms)
    assert len(both) == 6
    assert len({group["name"] for group in both}) == 6


def test_equal_schedules_share_a_group() -> None:
    rules = {"backbone.0": cosine(10), "head": cosine(10), "backbone.3": cosine(11)}
    groups = param_groups(make_network(), rules, lr=0.1)
    assert [group["name"] for group in groups] == [
        "backbone.0 + head",
        "default",
        "backbone.3",
    ]


def test_names_say_which_layers_are_meant() -> None:
    model = make_network()
    groups = param_groups(model, layer_decay(0.5), lr=1.0)
    assert {group["name"]: group["lr"] for group in groups} == {
        "backbone.0 + backbone.1": 0.25,
        "backbone.3": 0.5,
        "head": 1.0,
    }
    many = {f"backbone.{place}.{kind}": 2 for place in (0, 1, 3) for kind in ("weight", "bias")}
    name = param_groups(model, many, lr=1.0)[0]["name"]
    assert name == "backbone.0.weight + backbone.0.bias + backbone.1.weight + 3 more"


def test_names_are_unique_also_where_labels_are_not() -> None:
    model = nn.ModuleDict({"default": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    groups = param_groups(model, {"default": 0.5}, lr=1.0)
    assert [group["name"] for group in groups] == ["default", "default (2)"]


def test_a_tied_parameter_is_in_one_group_and_answers_to_each_name() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    for key in ("embed", "head"):
        groups = param_groups(model, {key: 0.5}, lr=1.0)
        assert [(len(group["params"]), group["lr"]) for group in groups] == [(1, 0.5)]
        assert groups.plan.rows[0].parameter.aliases == ("head.weight",)
    torch.optim.SGD(groups)


def test_frozen_parameters_are_left_out_and_listed() -> None:
    model = make_network()
    model.head.bias.requires_grad_(False)
    groups = param_groups(model, {"backbone.0": 0}, lr=1.0)
    assert set(by_name(groups, model)) == {
        "backbone.1.weight",
        "backbone.1.bias",
        "backbone.3.weight",
        "backbone.3.bias",
        "head.weight",
    }
    frozen = [row.parameter.name for row in groups.plan.rows if row.frozen]
    assert frozen == ["backbone.0.weight", "backbone.0.bias", "head.bias"]
    assert "frozen" in str(groups.plan)


def test_what_is_given_as_a_model() -> None:
    model = make_network()
    expected = rates(param_groups(model, {"head": 0.5}, lr=1.0), model)
    named = list(model.named_parameters())
    for given in (named, iter(named), dict(named), model.named_parameters()):
        assert rates(param_groups(given, {"head": 0.5}, lr=1.0), model) == expected


def test_without_rules_there_is_one_group() -> None:
    groups = param_groups(make_network(), lr=0.1)
    assert [(group["name"], group["lr"]) for group in groups] == [("default", 0.1)]
    assert "weight_decay" not in groups[0]


def test_weight_decay_and_what_takes_none() -> None:
    model = make_network()
    groups = param_groups(model, {"head": 2}, lr=1.0, weight_decay=0.1, no_decay=biases_and_norms)
    decays = {name: group["weight_decay"] for name, group in by_name(groups, model).items()}
    assert [name for name, decay in decays.items() if decay] == [
        "backbone.0.weight",
        "backbone.3.weight",
        "head.weight",
    ]
    assert [group["name"] for group in groups] == [
        "default",
        "default, no decay",
        "head",
        "head, no decay",
    ]
    assert {r.parameter.name: r.parameter.weight_decay for r in groups.plan.rows} == decays


@pytest.mark.parametrize(
    ("no_decay", "match", "expected"),
    [
        ("bias", "substring", {"0.bias", "1.bias", "3.bias"}),
        (["bias", "1"], "substring", {"0.bias", "1.weight", "1.bias", "3.bias"}),
        (["bias", "0.bi"], "substring", {"0.bias", "1.bias", "3.bias"}),  # equal standing
        ("1", "prefix", {"1.weight", "1.bias"}),
        (["*.bias", "0"], "glob", {"0.weight", "0.bias", "1.bias", "3.bias"}),
        (r"^1\.", "regex", {"1.weight", "1.bias"}),
        ([biases_and_norms, "3"], "prefix", {"0.bias", "1.weight", "1.bias", "3.weight", "3.bias"}),
        (lambda name, parameter: parameter.numel() > 48, "prefix", {"3.weight"}),
        ([], "prefix", set()),
    ],
)
def test_no_decay_rules(no_decay: Any, match: str, expected: set[str]) -> None:
    model = make_network().backbone
    groups = param_groups(model, lr=1.0, weight_decay=0.1, no_decay=no_decay, match=match)
    found = by_name(groups, model)
    assert {name for name, group in found.items() if group["weight_decay"] == 0} == expected
    assert len(found) == 6


def test_no_decay_without_a_weight_decay_leaves_the_others_to_the_optimizer() -> None:
    groups = param_groups(make_network(), lr=1.0, no_decay=biases_and_norms)
    optimizer = torch.optim.AdamW(groups, weight_decay=0.3)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]


def test_a_tensor_rate_becomes_one_tensor_for_each_group() -> None:
    lr = torch.tensor(0.5, dtype=torch.float64)
    groups = param_groups(make_network(), {"head": 0.5, "backbone.0": linear(10)}, lr=lr)
    assert [group["lr"].tolist() for group in groups] == [0.5, 0.5, 0.25]
    assert len({group["lr"].data_ptr() for group in groups} | {lr.data_ptr()}) == 4


def test_a_moving_multiplier_starts_at_its_first_value_and_knows_its_base() -> None:
    groups = param_groups(make_network(), {"head": linear(10, start=0.25, end=1)}, lr=0.1)
    head = groups[1]
    assert (head["name"], head["lr"], head["initial_lr"]) == ("head", 0.025, 0.1)
    scheduler = ScheduleLR(torch.optim.SGD(groups, lr=1.0), cosine(10))
    scheduler.step()
    assert scheduler.get_last_lr() == [
        0.1 * cosine(10)(1),
        0.1 * cosine(10)(1) * linear(10, start=0.25, end=1)(1),
    ]


def test_a_group_is_plain_data() -> None:
    """What torch.save writes of it is loaded again with weights_only=True, functions included."""
    rules = {"head": lambda step: 0.5, "backbone.0": cosine(10), "backbone.1": np.float32(0.5)}
    given: Any = {"lr": np.float64(0.1), "weight_decay": np.float32(0.5)}
    for group in param_groups(make_network(), rules, **given):
        del group["params"]
        assert plain(group)


def plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return value is None or type(value) in (bool, int, float, str)


def test_the_rules_are_dead_unless_they_match() -> None:
    groups = param_groups(Network(), {"nowhere": 0.5}, lr=1.0, strict=False)
    assert len(groups) == 1


def test_a_rule_on_the_second_name_of_a_tied_weight() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(4, 3), "head": nn.Linear(3, 4, bias=False)})
    model["head"].weight = model["embed"].weight
    for whole in (model, model.named_parameters(remove_duplicate=False)):
        groups = param_groups(whole, {"head.weight": 0.5}, lr=1.0)
        assert [group["lr"] for group in groups] == [0.5]
    with pytest.raises(UnmatchedRuleError, match=r"'head\.weight'.*\n.*\n.*remove_duplicate=False"):
        param_groups(model.named_parameters(), {"head.weight": 0.5}, lr=1.0)
    with pytest.raises(UnmatchedRuleError) as caught:
        param_groups(model, {"haed": 0.5}, lr=1.0)
    assert "remove_duplicate" not in str(caught.value)


def test_a_key_of_no_decay_that_takes_longer_numbers_is_said_once() -> None:
    model = nn.ModuleDict({"blocks": nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)))})
    options: dict[str, Any] = {"lr": 1.0, "weight_decay": 0.1}
    with pytest.warns(
        UserWarning, match=r"'blocks\.1' also takes .* write 'blocks\.1\.'"
    ) as caught:
        groups = param_groups(model, no_decay=["blocks.1", "blocks.2."], **options)
    assert len(caught) == 1
    spared = [len(group["params"]) for group in groups if group["weight_decay"] == 0]
    assert spared == [2 * 4]
    quiet = param_groups(model, no_decay=["blocks.1", "blocks.10", "blocks.11"], **options)
    assert len(quiet) == 2
    with pytest.warns(UserWarning, match=r"'blocks\.1' also takes") as caught:
        frozen = param_groups(model, {"blocks.1": 0.0}, **options)
    assert len(caught) == 1
    assert sum(row.frozen for row in frozen.plan.rows) == 6
    assert "also takes 'blocks.10'" in " ".join(str(frozen.plan).split())
