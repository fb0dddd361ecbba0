"""A multiplier that moves lives in its group: plain data in a checkpoint, and never lost here."""

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
import torch

from layerwise import exponential, linear
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import make_network, through_a_file


def half(step: int) -> float:
    return 0.5


def other(step: int) -> float:
    return 0.25


other.__qualname__ = half.__qualname__  # as any two lambdas of one function have


def make(rule: Any, model: Any = None) -> torch.optim.Optimizer:
    model = make_network() if model is None else model
    return torch.optim.SGD(param_groups(model, {"head": rule}, lr=1.0))


def head_rate(optimizer: Any) -> float:
    scheduler = ScheduleLR(optimizer)
    rate: float = scheduler.get_last_lr()[1]
    return rate


def test_a_group_has_plain_data_in_a_checkpoint() -> None:
    optimizer = make(half)
    saved = through_a_file(optimizer.state_dict())
    assert saved == optimizer.state_dict()
    kept = saved["param_groups"][1]["lr_multiplier"]
    assert kept == {"version": 1, "value": {"function": "half"}}
    assert type(kept).__module__ == "collections"


@pytest.mark.parametrize("attached", [False, True], ids=["no scheduler", "a scheduler"])
def test_loading_keeps_the_function_that_is_here(attached: bool) -> None:
    optimizer = make(half)
    scheduler = ScheduleLR(optimizer) if attached else None
    for _ in range(2):  # a group that was loaded is loaded into again
        optimizer.load_state_dict(through_a_file(make(half).state_dict()))
        assert head_rate(optimizer) == 0.5
    assert (scheduler is not None) == attached


def test_two_optimizers_of_one_model_keep_their_functions() -> None:
    model = make_network()
    first, second = make(half, model), make(other, model)
    assert [head_rate(first), head_rate(second)] == [0.5, 0.25]
    attached = [ScheduleLR(first), ScheduleLR(second)]
    for optimizer in (first, second):
        optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
    assert [scheduler.get_last_lr()[1] for scheduler in attached] == [0.5, 0.25]


def test_a_state_in_memory_brings_its_function() -> None:
    for attached in (False, True):
        optimizer = make(half)
        scheduler = ScheduleLR(optimizer) if attached else None
        optimizer.load_state_dict(make(other).state_dict())
        assert head_rate(optimizer) == 0.25
        del scheduler


def test_the_schedule_of_a_checkpoint_counts() -> None:
    optimizer = make(exponential(0.5))
    scheduler = ScheduleLR(optimizer)
    with pytest.warns(UserWarning, match="other multipliers for 'head'"):
        optimizer.load_state_dict(through_a_file(make(linear(10)).state_dict()))
    scheduler.step()
    assert scheduler.get_last_lr()[1] == 0.9


def test_a_state_whose_dictionaries_are_rebuilt_by_type() -> None:
    """Accelerate does that when it prepares an optimizer, which has no scheduler yet."""
    optimizer = make(half)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        if "lr_multiplier" in group:
            group["lr_multiplier"] = type(group["lr_multiplier"])(dict(group["lr_multiplier"]))
    optimizer.load_state_dict(state)
    assert head_rate(optimizer) == 0.5


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_of_model_and_optimizer(duplicate: Any) -> None:
    """A function in a rule must not keep either from being copied or pickled."""
    model = make_network()
    optimizer = make(lambda step: 0.5, model)
    model, optimizer = duplicate((model, optimizer))
    assert optimizer.param_groups[0]["params"][0] is model.backbone[0].weight
    if duplicate is copy.deepcopy:
        scheduler = ScheduleLR(optimizer)
        optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
        assert scheduler.get_last_lr() == [1.0, 0.5]


def test_a_model_goes_with_the_function_that_refers_to_it() -> None:
    """Nothing outside of model and optimizer holds on to a rule's function."""
    model = make_network()
    gone = weakref.ref(model)
    optimizer = make(lambda step, model=model: float(model.training), model)
    assert head_rate(optimizer) == 1.0
    del model, optimizer
    gc.collect()
    assert gone() is None
