"""An optimizer's state goes everywhere PyTorch's goes."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from layerwise import cosine, exponential, gradual_unfreezing, linear, piecewise_constant
from layerwise.errors import OptimizerError
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import (
    bits,
    loss_of,
    make_network,
    state_bits,
    through_a_file,
    update,
)


def half(step: int) -> float:
    return 0.5**step


# -- names ------------------------------------------------------------------------------------


def by_hand(model: Any, named: bool) -> Any:
    """PyTorch's own groups, of parameters with names or without."""
    parts: Any = [model.backbone, model.head]
    return [
        {"params": list(part.named_parameters() if named else part.parameters()), "lr": lr}
        for part, lr in zip(parts, (0.1, 0.2), strict=True)
    ]


GROUPS: dict[str, Any] = {
    "ours": lambda model: param_groups(model, {"head": 0.5}, lr=0.1),
    "no names": lambda model: by_hand(model, False),
    "parameters with names": lambda model: by_hand(model, True),
    "the first has a name": lambda model: [
        by_hand(model, False)[0] | {"name": "low"},
        by_hand(model, False)[1],
    ],
    "the second has a name": lambda model: [
        by_hand(model, False)[0],
        by_hand(model, False)[1] | {"name": "high"},
    ],
    "ours and one by hand": lambda model: [
        *param_groups(model.backbone, {"3": linear(5)}, lr=0.1),
        by_hand(model, False)[1],
    ],
}


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("scheduled", [False, True])
def test_a_state_of_its_own_loads(groups: str, scheduled: bool) -> None:
    scheduled |= groups == "ours and one by hand"  # a multiplier that moves needs a ScheduleLR

    def make() -> tuple[Any, Any, Any]:
        model = make_network()
        optimizer = torch.optim.AdamW(GROUPS[groups](model))
        return model, optimizer, ScheduleLR(optimizer, cosine(10)) if scheduled else None

    model, optimizer, scheduler = make()
    update(model, optimizer, 0)
    if scheduler:
        scheduler.step()
    state = through_a_file(optimizer.state_dict())
    optimizer.load_state_dict(state)
    again, other, following = make()
    if following:
        following.load_state_dict(scheduler.state_dict())
    other.load_state_dict(state)
    assert state_bits(other, again.parameters()) == state_bits(optimizer, model.parameters())
    assert [group["lr"] for group in other.param_groups] == [
        group["lr"] for group in optimizer.param_groups
    ]


def test_a_group_that_was_added_without_a_name() -> None:
    model = make_network()
    optimizer = torch.optim.AdamW(param_groups(model.backbone, lr=1e-3))
    scheduler = ScheduleLR(optimizer, cosine(10))
    optimizer.add_param_group({"params": model.head.parameters(), "lr": 1e-4})
    optimizer.load_state_dict(optimizer.state_dict())
    assert scheduler.get_last_lr() == [1e-3, 1e-4]


@pytest.mark.parametrize("order", ["scheduler first", "optimizer first"])
def test_a_state_loads_when_a_group_has_just_been_added(order: str) -> None:
    def made(steps: int) -> tuple[torch.optim.Optimizer, ScheduleLR]:
        model = make_network()
        optimizer = torch.optim.SGD(param_groups(model.backbone, lr=0.1))
        scheduler = ScheduleLR(optimizer, linear(10))
        for _ in range(steps):
            optimizer.step()
            scheduler.step()
        added = {"params": model.head.parameters(), "lr": 0.3, "name": "head"}
        optimizer.add_param_group(added)
        return optimizer, scheduler

    optimizer, scheduler = made(4)
    saved = scheduler.state_dict(), optimizer.state_dict()
    again, resumed = made(0)
    if order == "scheduler first":
        resumed.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    resumed.load_state_dict(saved[0])
    assert resumed.get_last_lr() == scheduler.get_last_lr() == pytest.approx([0.06, 0.18])


OTHER_PARAMETERS: dict[str, Any] = {
    "the order": lambda model: dict(reversed(list(model.named_parameters()))),
    "a part": lambda model: model.head,
    "PyTorch's names": lambda model: [
        {"params": list(reversed(list(model.named_parameters()))), "lr": 0.1}
    ],
}


@pytest.mark.parametrize("change", OTHER_PARAMETERS)
def test_moments_are_not_put_on_other_parameters(change: str) -> None:
    """All shapes agree; PyTorch's own load would go by the order."""
    model = torch.nn.Sequential(*(torch.nn.Linear(3, 3, bias=False) for _ in range(2)))
    model.add_module("head", torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)))
    saved = torch.optim.Adam(param_groups(model, lr=0.1)).state_dict()
    made = OTHER_PARAMETERS[change](model)
    groups = made if isinstance(made, list) else param_groups(made, lr=0.1)
    optimizer = torch.optim.Adam(groups)
    scheduler = ScheduleLR(optimizer)
    with pytest.raises(OptimizerError, match=r"load_optimizer_state\(model, optimizer, state\)"):
        optimizer.load_state_dict(saved)
    assert scheduler.get_last_lr() == [0.1]


def test_other_numbers_of_groups() -> None:
    model = make_network()
    optimizer = torch.optim.Adam(param_groups(model, {"head": 0.5}, lr=0.1))
    plain = torch.optim.Adam(model.parameters())
    with pytest.raises(OptimizerError, match=r"1 groups, .* 2 \('default', 'head'\).*load_opt"):
        optimizer.load_state_dict(plain.state_dict())


CHANGED: dict[str, tuple[Any, Any]] = {
    "a number": ({"head": 0.5}, {"head": 0.25}),
    "a schedule": ({"head": linear(5)}, {"head": linear(9)}),
    "a schedule and a function": ({"head": linear(5)}, {"head": half}),
    "a number and a schedule": ({"head": 0.5}, {"head": linear(5)}),
}


@pytest.mark.parametrize("change", CHANGED)
@pytest.mark.parametrize("scheduled", [False, True])
def test_a_changed_rule_under_the_same_name_is_told(change: str, scheduled: bool) -> None:
    before, after = CHANGED[change]
    saved = torch.optim.SGD(param_groups(make_network(), before, lr=0.1)).state_dict()
    optimizer = torch.optim.SGD(param_groups(make_network(), after, lr=0.1))
    scheduler = ScheduleLR(optimizer) if scheduled else None
    with pytest.warns(UserWarning, match=r"other multipliers for 'head' .*load_optimizer_state"):
        optimizer.load_state_dict(through_a_file(saved))
    optimizer.load_state_dict(optimizer.state_dict())  # nothing is changed any more
    assert (scheduler is None) or scheduler.get_last_lr()[0] == 0.1


# -- copies -----------------------------------------------------------------------------------

RULES: dict[str, Any] = {
    "numbers": {"head": 0.5},
    "gradual unfreezing": gradual_unfreezing(every=2),
    "a function": {"head": half},
}
DUPLICATES: dict[str, Any] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda both: pickle.loads(pickle.dumps(both)),
}


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("duplicate", DUPLICATES)
@pytest.mark.parametrize("tensors", [False, True])
def test_a_copy_of_all_goes_on_alike(rules: str, duplicate: str, tensors: bool) -> None:
    model = make_network()
    lr: Any = torch.tensor(0.1) if tensors else 0.1
    optimizer = torch.optim.AdamW(param_groups(model, RULES[rules], lr=lr), lr=lr)
    scheduler = ScheduleLR(optimizer, cosine(20))
    for step in range(3):
        update(model, optimizer, step)
        scheduler.step()
    copied, copy_of_optimizer, following = DUPLICATES[duplicate]((model, optimizer, scheduler))
    assert following.optimizer is copy_of_optimizer
    copy_of_optimizer.load_state_dict(through_a_file(copy_of_optimizer.state_dict()))
    for step in range(3, 7):
        for each, its, schedule in (
            (model, optimizer, scheduler),
            (copied, copy_of_optimizer, following),
        ):
            update(each, its, step)
            schedule.step()
    assert bits(copied.parameters()) == bits(model.parameters())
    assert following.get_last_lr() == scheduler.get_last_lr()
    copy_of_optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
    assert following.get_last_lr() == scheduler.get_last_lr()


@pytest.mark.parametrize("loads", [1, 2])
def test_a_function_after_a_copy_without_a_scheduler(loads: int) -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, {"head": lambda step: 0.25}, lr=1.0))
    model, optimizer = copy.deepcopy((model, optimizer))
    for _ in range(loads):
        optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
    model, optimizer = copy.deepcopy((model, optimizer))
    assert ScheduleLR(optimizer).get_last_lr() == [1.0, 0.25]


# -- distributed checkpoints ------------------------------------------------------------------

OPTIONS = {
    "nested": StateDictOptions(),
    "flattened": StateDictOptions(flatten_optimizer_state_dict=True),
    "full": StateDictOptions(full_state_dict=True),
}
ORDERS = ("optimizer, scheduler", "scheduler, optimizer", "optimizer, make, scheduler")
WAYS = [
    (options, order)
    for options in OPTIONS
    for order in ORDERS
    # A full state wants the same keys on both sides, and only a scheduler writes initial_lr.
    if (options, order) != ("full", "optimizer, make, scheduler")
]
DISTRIBUTED: dict[str, Any] = {
    "gradual unfreezing": gradual_unfreezing(every=3),
    "numbers": {"head": 0.5},
    "a function": {"head": half},
    "one layer for now": {
        "backbone": piecewise_constant([6], [0.0, 1.0]),
        "head": exponential(0.9),
    },
}


@pytest.mark.parametrize("rules", DISTRIBUTED)
@pytest.mark.parametrize(("options", "order"), WAYS)
def test_a_distributed_checkpoint(rules: str, options: str, order: str) -> None:
    """Taken while layers are frozen, and when they are no longer."""

    def make() -> tuple[Any, Any]:
        model = make_network()
        return model, torch.optim.AdamW(param_groups(model, DISTRIBUTED[rules], lr=1e-2))

    def train(model: Any, optimizer: Any, scheduler: Any, steps: range) -> None:
        for step in steps:
            update(model, optimizer, step)
            scheduler.step()

    schedule = linear(40, start=1.0, end=0.5)
    for taken in (2, 8):
        model, optimizer = make()
        scheduler = ScheduleLR(optimizer, schedule)
        train(model, optimizer, scheduler, range(taken))
        saved = copy.deepcopy(
            (
                model.state_dict(),
                get_optimizer_state_dict(model, optimizer, options=OPTIONS[options]),
                scheduler.state_dict(),
            )
        )
        again, resumed = make()
        again.load_state_dict(saved[0])
        following = None if "make" in order else ScheduleLR(resumed, schedule)
        for action in order.split(", "):
            if action == "optimizer":
                set_optimizer_state_dict(again, resumed, saved[1], options=OPTIONS[options])
            elif action == "make":
                following = ScheduleLR(resumed, schedule)
            else:
                following.load_state_dict(saved[2])  # type: ignore[union-attr]
        assert state_bits(resumed, again.parameters()) == state_bits(optimizer, model.parameters())
        train(model, optimizer, scheduler, range(taken, taken + 6))
        train(again, resumed, following, range(taken, taken + 6))
        assert bits(again.parameters()) == bits(model.parameters())


@pytest.mark.filterwarnings("ignore:.*assuming the intent is to (save|load):UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning:torch.distributed.*")
@pytest.mark.parametrize("options", ["nested", "flattened"])
@pytest.mark.parametrize("taken", [2, 8])
def test_a_checkpoint_on_disk(tmp_path: Path, options: str, taken: int) -> None:
    """Taken while layers are frozen, it lacks their moments, which PyTorch has to be told."""

    def make() -> tuple[Any, Any, Any]:
        model = make_network()
        rules = gradual_unfreezing(every=3)
        optimizer = torch.optim.AdamW(param_groups(model, rules, lr=1e-2))
        return model, optimizer, ScheduleLR(optimizer, linear(40))

    def parts(model: Any, optimizer: Any, scheduler: Any) -> dict[str, Any]:
        state = get_optimizer_state_dict(model, optimizer, options=OPTIONS[options])
        return {"model": model.state_dict(), "optimizer": state, "scheduler": scheduler}

    def train(run: tuple[Any, Any, Any], steps: range) -> None:
        for step in steps:
            update(run[0], run[1], step)
            run[2].step()

    run, again = make(), make()
    train(run, range(taken))
    checkpoint.save(parts(*run), checkpoint_id=tmp_path, no_dist=True)
    state = parts(*again)
    planner = checkpoint.DefaultLoadPlanner(allow_partial_load=True)
    checkpoint.load(state, checkpoint_id=tmp_path, planner=planner, no_dist=True)
    again[0].load_state_dict(state["model"])
    set_optimizer_state_dict(again[0], again[1], state["optimizer"], options=OPTIONS[options])
    for each in (run, again):
        train(each, range(taken, taken + 6))
    assert again[2].last_epoch == taken + 6
    assert bits(again[0].parameters()) == bits(run[0].parameters())


def test_a_weight_decay_in_a_flattened_checkpoint() -> None:
    """Its base is lost, too, where the state is loaded before there is a scheduler."""
    ends = []
    for resumed in (False, True):
        model = make_network()
        options = OPTIONS["flattened"]
        optimizer = torch.optim.AdamW(param_groups(model, lr=0.1, weight_decay=0.5))
        scheduler = ScheduleLR(optimizer, linear(10), weight_decay_factor=linear(20))
        for step in range(3):
            update(model, optimizer, step)
            scheduler.step()
        if resumed:
            saved = copy.deepcopy(get_optimizer_state_dict(model, optimizer, options=options))
            optimizer.zero_grad()
            optimizer = torch.optim.AdamW(param_groups(model, lr=0.1, weight_decay=0.5))
            set_optimizer_state_dict(model, optimizer, saved, options=options)
            state = scheduler.state_dict()
            scheduler = ScheduleLR(optimizer, linear(10), weight_decay_factor=linear(20))
            scheduler.load_state_dict(through_a_file(state))
        update(model, optimizer, 3)
        scheduler.step()
        (group,) = optimizer.param_groups
        ends.append((bits(model.parameters()), group["lr"], group["weight_decay"]))
    assert ends[0] == ends[1]
    assert ends[0][2] == 0.5 * linear(20)(4)


def test_frozen_layers_get_no_state_from_a_first_step_at_rate_zero() -> None:
    """It looks like the step by which PyTorch makes a state, but has gradients."""
    model = make_network()
    rules = {"backbone": piecewise_constant([3], [0.0, 1.0])}
    optimizer = torch.optim.AdamW(param_groups(model, rules, lr=0.1))
    scheduler = ScheduleLR(optimizer, linear(5, start=0.0, end=1.0))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    scheduler.step()
    assert set(optimizer.state) == set(model.head.parameters())


# -- one optimizer for each parameter ---------------------------------------------------------


@pytest.mark.parametrize("rules", [{"head": half}, {"head": exponential(0.5)}, {"head": 0.5}])
def test_one_optimizer_for_each_parameter(rules: Any) -> None:
    """As where the optimizer steps within ``backward()``; the oracle is one for all."""
    model, together = make_network(), make_network()
    pairs = []
    for group in param_groups(model, rules, lr=0.1):
        for parameter in group["params"]:
            optimizer = torch.optim.SGD([{**group, "params": [parameter]}])
            pairs.append((optimizer, ScheduleLR(optimizer, cosine(10))))

            def step(tensor: Any, optimizer: Any = optimizer) -> None:
                optimizer.step()
                tensor.grad = None

            parameter.register_post_accumulate_grad_hook(step)
    one = torch.optim.SGD(param_groups(together, rules, lr=0.1))
    scheduler = ScheduleLR(one, cosine(10))
    for number in range(4):
        loss_of(model, number).backward()
        for optimizer, each in pairs:
            each.step()
            optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
        update(together, one, number)
        scheduler.step()
    assert bits(model.parameters()) == bits(together.parameters())
