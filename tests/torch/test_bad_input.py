"""Bad input: one clear error of ours each, and neither model nor optimizer is changed by it."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from layerwise import cosine, from_function, linear
from layerwise.errors import (
    AmbiguousRuleError,
    ConfigError,
    LayerwiseError,
    MultiplierError,
    OptimizerError,
    ScheduleError,
    UnmatchedRuleError,
)
from layerwise.multipliers import value_to_config
from layerwise.torch import ScheduleLR, biases_and_norms, explain, param_groups
from tests._support.torch.networks import bits, make_network, through_a_file

NAN = float("nan")

GROUPS: list[tuple[dict[str, Any], type[LayerwiseError], str]] = [
    ({"rules": {"haed": 0.5}}, UnmatchedRuleError, r"'haed'.*'head.*strict=False"),
    ({"rules": {"head": -1}}, MultiplierError, r"'head'.*-1"),
    ({"rules": {"head": NAN}}, MultiplierError, r"'head'.*nan"),
    ({"rules": {"head": "slow"}}, MultiplierError, r"'head'.*'slow'"),
    ({"rules": {"head": lambda step: -1.0}}, MultiplierError, r"head.*-1\.0 at step 0"),
    ({"rules": 0.5}, MultiplierError, r"0\.5"),
    ({"rules": {"ea": 1, "he": 2}, "match": "substring"}, AmbiguousRuleError, "'ea'.*'he'"),
    ({"lr": None}, MultiplierError, r"got None.*finding.reason.*rate_or\(1e-3\)"),
    ({"match": "fuzzy"}, MultiplierError, r"prefix.*'fuzzy'"),
    ({"lr": -0.1}, MultiplierError, r"-0\.1"),
    ({"lr": NAN}, MultiplierError, "nan"),
    ({"lr": cosine(10)}, MultiplierError, r"cosine\(10\).*schedule"),
    ({"lr": torch.ones(2)}, MultiplierError, "tensor"),
    ({"weight_decay": -1.0}, MultiplierError, r"weight_decay must.*-1\.0"),
    ({"weight_decay": NAN}, MultiplierError, r"weight_decay must.*nan"),
    ({"weight_decay": "much"}, MultiplierError, r"weight_decay must.*'much'"),
    ({"weight_decay": cosine(5)}, MultiplierError, r"weight_decay=cosine\(5\).*moves.*ScheduleLR"),
    ({"no_decay": "nrom"}, UnmatchedRuleError, r"'nrom'"),
    ({"no_decay": ["head", "haed"]}, UnmatchedRuleError, r"'haed'.*'head"),
    ({"no_decay": lambda name, p: False}, MultiplierError, r"true for no parameter"),
    ({"no_decay": 3}, MultiplierError, r"3.*biases_and_norms"),
    ({"rules": {"backbone": 0, "head": 0}}, OptimizerError, r"All 8 parameters are frozen"),
    ({"layers": ["head", "head"], "rules": None}, MultiplierError, r"'head' in two levels"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), GROUPS)
def test_groups_refuse_and_change_nothing(
    arguments: dict[str, Any], error: type[LayerwiseError], message: str
) -> None:
    model = make_network()
    before = bits(model.parameters()), [p.requires_grad for p in model.parameters()]
    with pytest.raises(error, match=f"(?s){message}"):
        param_groups(model, **({"lr": 0.1} | arguments))
    assert (bits(model.parameters()), [p.requires_grad for p in model.parameters()]) == before


MODELS: list[tuple[Any, str]] = [
    (nn.ReLU(), r"ReLU has no parameters"),
    ([], r"no parameters.*once it has been used"),
    (make_network().parameters(), r"no names.*named_parameters\(\)"),
    (list(make_network().parameters()), r"no names.*named_parameters\(\)"),
    (torch.ones(3), r"not Tensor"),
    ("model", r"not str"),
    (3, r"not int"),
    ([("a", 1)], r"'a' and int"),
    ([1, 2], r"pairs of a name and a tensor, not 1"),
    ([("a", torch.ones(1)), ("a", torch.zeros(1))], r"Two parameters have the name 'a'"),
    (nn.LazyLinear(3), r"'weight' is lazy.*one batch"),
]


@pytest.mark.parametrize(("model", "message"), MODELS)
def test_what_is_no_model(model: Any, message: str) -> None:
    with pytest.raises(OptimizerError, match=message):
        param_groups(model, lr=0.1)


def test_two_rules_for_one_tied_parameter() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    with pytest.raises(AmbiguousRuleError, match=r"'embed.*'head"):
        param_groups(model, {"embed": 0.5, "head": 0.25}, lr=1.0)


def test_a_parameter_in_two_groups() -> None:
    """PyTorch says so itself, and the optimizer stays as it was."""
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, {"head": 0.5}, lr=0.1))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group(param_groups(model.head, lr=0.1)[0])
    assert optimizer.state_dict() == before


def make_optimizer() -> torch.optim.Optimizer:
    groups = param_groups(make_network(), {"head": 0.5, "backbone.0": 0.1}, lr=0.1)
    return torch.optim.SGD(groups, momentum=0.9)


SCHEDULES: list[tuple[dict[str, Any], type[LayerwiseError], str]] = [
    ({"schedule": [cosine(5)]}, ScheduleError, r"1 schedules for 3 groups.*'head'"),
    ({"schedule": [cosine(5)] * 4}, ScheduleError, r"4 schedules for 3 groups"),
    ({"schedule": {"haed": cosine(5)}}, ScheduleError, r"No group is called 'haed'.*'head'"),
    ({"schedule": 0.5}, ScheduleError, r"0\.5.*constant"),
    ({"schedule": {"head": 0.5}}, ScheduleError, r"'head'\]=0\.5.*constant"),
    ({"schedule": "cosine"}, ScheduleError, r"'cosine'"),
    ({"schedule": lambda step: -1.0}, ScheduleError, r"'backbone\.0' is -1\.0 at step 0"),
    ({"schedule": lambda step: NAN}, ScheduleError, r"nan at step 0"),
    ({"schedule": lambda step: "x"}, ScheduleError, r"'x' at step 0"),
    ({"schedule": lambda step: torch.ones(2)}, ScheduleError, r"tensor.* at step 0"),
    ({"schedule": cosine(5), "lr_lambda": cosine(5)}, ScheduleError, r"the same argument"),
    ({"last_epoch": -2}, ScheduleError, r"last_epoch must.*-2"),
    ({"last_epoch": 1.5}, ScheduleError, r"last_epoch must.*1\.5"),
    ({"momentum": 0.5}, ScheduleError, r"momentum=0\.5"),
    ({"betas": linear(5)}, OptimizerError, r"SGD has no betas; it has momentum"),
    ({"betas": {"head": linear(5)}}, OptimizerError, r"SGD has no betas; it has momentum"),
    ({"betas": (linear(5), None, None)}, ScheduleError, r"betas=.*a pair"),
    ({"momentum": [linear(5)]}, ScheduleError, r"1 schedules for 3 groups.*'head'"),
    ({"momentum": {"head": 0.5}}, ScheduleError, r"momentum\['head'\]=0\.5"),
    ({"momentum": {"haed": linear(5)}}, ScheduleError, r"No group is called 'haed'.*'head'"),
    ({"momentum": {"head": lambda step: -1.0}}, ScheduleError, r"momentum of 'head' is -1\.0"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), SCHEDULES)
def test_a_scheduler_refuses_and_changes_nothing(
    arguments: dict[str, Any], error: type[LayerwiseError], message: str
) -> None:
    optimizer = make_optimizer()
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(error, match=f"(?s){message}"):
        ScheduleLR(optimizer, **arguments)
    assert optimizer.state_dict() == before
    assert not optimizer._optimizer_step_pre_hooks


def test_hyperparameters_that_are_not_there() -> None:
    adam = torch.optim.Adam(make_network().parameters())
    with pytest.raises(OptimizerError, match=r"Adam has no momentum; it has betas"):
        ScheduleLR(adam, momentum=linear(5))
    rprop = torch.optim.Rprop(make_network().parameters())
    with pytest.raises(OptimizerError, match=r"Rprop has no weight_decay"):
        ScheduleLR(rprop, weight_decay_factor=linear(5))
    with pytest.raises(ScheduleError, match=r"beta1 of .group 0. is 1\.0 at step 0.*below 1"):
        ScheduleLR(adam, betas=linear(5))


@pytest.mark.parametrize("what", [None, make_network(), [], torch.optim.SGD])
def test_what_is_no_optimizer(what: Any) -> None:
    with pytest.raises(OptimizerError, match=r"is not a torch\.optim\.Optimizer"):
        ScheduleLR(what, cosine(5))


def test_a_callable_that_fails_later_leaves_the_step_as_it_was() -> None:
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, [cosine(9), cosine(9), lambda step: 1.0 - step])
    scheduler.step()
    before = copy.deepcopy(optimizer.state_dict()), scheduler.state_dict()
    with pytest.raises(ScheduleError, match=r"'head' is -1\.0 at step 2"):
        scheduler.step()
    assert (optimizer.state_dict(), scheduler.state_dict()) == before


def test_names_that_two_groups_share() -> None:
    parameters = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [p], "name": "a"} for p in parameters], lr=0.1)
    with pytest.raises(ScheduleError, match=r"Several groups are called 'a'"):
        ScheduleLR(optimizer, {"a": cosine(5)})


def test_a_list_says_nothing_of_a_group_added_later() -> None:
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, [cosine(5)] * 3)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    for moment in (optimizer.step, scheduler.step, scheduler.get_last_lr):
        with pytest.raises(ScheduleError, match=r"3 schedules for 4 groups.*'group 3'"):
            moment()


def other_groups() -> torch.optim.Optimizer:
    groups = param_groups(make_network(), {"backbone": 0.5, "head": 0.1, "backbone.1": 0.2}, lr=0.1)
    return torch.optim.SGD(groups, momentum=0.9)


def test_the_state_of_other_groups() -> None:
    optimizer, other = make_optimizer(), other_groups()
    scheduler = ScheduleLR(optimizer, cosine(9))
    state = ScheduleLR(other, cosine(9), last_epoch=4).state_dict()
    before = copy.deepcopy(optimizer.state_dict()), scheduler.state_dict()
    message = r"other groups: of 'backbone', .*has 'backbone\.0'"
    with pytest.raises(OptimizerError, match=message):
        scheduler.load_state_dict(state)
    with pytest.raises(OptimizerError, match=message):
        optimizer.load_state_dict(other.state_dict())
    assert (optimizer.state_dict(), scheduler.state_dict()) == before


def of_all(config: object) -> dict[str, Any]:
    return {"kind": "all", "values": {"all": config}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, r"no state of a ScheduleLR of version 1.*last_epoch=N - 1"),
        ({"last_epoch": -1}, r"last_epoch must.*-1"),
        ({"schedule": {"kind": "some", "values": {}}}, r"no config of schedules"),
        ({"schedule": {"kind": "all", "values": {"all": {"version": 7}}}}, r"needs 'version' and"),
        ({"schedule": {"kind": "each", "values": {}}}, r"0 schedules for 3 groups"),
        ({"hyperparameters": 3}, r"no config of hyperparameters"),
        ({"hyperparameters": {"speed": of_all(value_to_config(linear(5)))}}, r"no config of hyper"),
        ({"hyperparameters": {"beta1": linear(5).to_config()}}, r"no config of schedules"),
        ({"hyperparameters": {"beta1": of_all(linear(5).to_config())}}, r"'version' and 'value'"),
        ({"hyperparameters": {"beta1": of_all(value_to_config(linear(5)))}}, r"SGD has no betas"),
    ],
)
def test_a_broken_state(change: dict[str, Any], message: str) -> None:
    scheduler = ScheduleLR(make_optimizer(), cosine(9))
    state = scheduler.state_dict()
    with pytest.raises(LayerwiseError, match=message):
        scheduler.load_state_dict(state | change)
    assert scheduler.state_dict() == state


def test_a_state_with_a_part_missing() -> None:
    scheduler = ScheduleLR(make_optimizer(), cosine(9))
    for part in scheduler.state_dict():
        state = scheduler.state_dict()
        del state[part]
        with pytest.raises(ConfigError, match="no state of a ScheduleLR"):
            scheduler.load_state_dict(state)


def test_the_state_of_another_scheduler() -> None:
    theirs = torch.optim.lr_scheduler.StepLR(make_optimizer(), 3)
    with pytest.raises(ConfigError, match="no state of a ScheduleLR"):
        ScheduleLR(make_optimizer(), cosine(9)).load_state_dict(theirs.state_dict())


def test_a_function_that_no_checkpoint_brings_along() -> None:
    state = ScheduleLR(make_optimizer(), lambda step: 0.5).state_dict()
    with pytest.raises(ConfigError, match=r"needs the function .*lambda"):
        ScheduleLR(make_optimizer()).load_state_dict(state)
    rules = {"head": from_function(lambda step: 0.5) * cosine(9)}
    saved = torch.optim.SGD(param_groups(make_network(), rules, lr=0.1))
    bare = torch.optim.SGD(param_groups(make_network(), {"head": cosine(3)}, lr=0.1))
    for group in bare.param_groups:
        group["params"] = [nn.Parameter(p.detach()) for p in group["params"]]  # unknown to us
    with pytest.warns(UserWarning, match="other multipliers for 'head'"):
        bare.load_state_dict(through_a_file(saved.state_dict()))
    with pytest.raises(OptimizerError, match=r"'head'.*param_groups\(\) with the same rules"):
        ScheduleLR(bare)


def test_explain_takes_rules_or_an_optimizer() -> None:
    with pytest.raises(OptimizerError, match="either the optimizer, or rules"):
        explain(make_network(), {"head": 0.5}, optimizer=make_optimizer())
    with pytest.raises(UnmatchedRuleError, match="'haed'"):
        explain(make_network(), {"haed": 0.5})
    with pytest.raises(OptimizerError, match="no parameters"):
        explain(nn.ReLU())


def test_strict_false_allows_dead_rules() -> None:
    model = make_network()
    dead: Any = {"no_decay": ["nowhere", lambda name, p: False]}
    groups = param_groups(model, {"nowhere": 2}, lr=1.0, weight_decay=1.0, strict=False, **dead)
    assert [group["weight_decay"] for group in groups] == [1.0]
    assert biases_and_norms("head.bias", model.head.bias)
