"""A multiplier that moves can't be undone by another scheduler: it stays right, or is an error."""

import copy
import gc
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as peer
from torch.optim.swa_utils import SWALR

from layerwise import (
    constant,
    cosine,
    exponential,
    gradual_unfreezing,
    linear,
    piecewise_constant,
)
from layerwise.errors import OptimizerError
from layerwise.torch import ScheduleLR, find_lr, param_groups
from tests._support.torch.networks import (
    bits,
    loss_of,
    make_batch,
    make_network,
    through_a_file,
    update,
)

pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")

MOVING: dict[str, Any] = {
    "a strategy": gradual_unfreezing(every=1000),
    "frozen for now": {"backbone": piecewise_constant([5], [0.0, 1.0])},
    "a function": {"head": lambda step: 0.5**step},
}

OTHERS: dict[str, Any] = {
    "none": lambda optimizer: None,
    "LambdaLR": lambda optimizer: peer.LambdaLR(optimizer, lambda step: 1 - step / 100),
    "CosineAnnealingLR": lambda optimizer: peer.CosineAnnealingLR(optimizer, T_max=10),
    "OneCycleLR": lambda optimizer: peer.OneCycleLR(optimizer, max_lr=0.1, total_steps=10),
    "CyclicLR": lambda optimizer: peer.CyclicLR(optimizer, 0.01, 0.1, cycle_momentum=False),
    "StepLR": lambda optimizer: peer.StepLR(optimizer, step_size=3),
    "ReduceLROnPlateau": peer.ReduceLROnPlateau,
    "by hand": lambda optimizer: [group.update(lr=0.1) for group in optimizer.param_groups],
}


def make(rules: Any = MOVING["a strategy"], kind: Any = torch.optim.SGD) -> tuple[Any, Any]:
    model = make_network()
    return model, kind(param_groups(model, rules, lr=0.1))


def rates(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def refused(model: Any, optimizer: Any) -> None:
    """The first update is an error of ours, and changes nothing."""
    before = bits(model.parameters())
    loss_of(model, 0).backward()
    with pytest.raises(OptimizerError, match=r"moves with the step, and .*Make scheduler = Sched"):
        optimizer.step()
    assert bits(model.parameters()) == before


@pytest.mark.parametrize("rules", MOVING)
@pytest.mark.parametrize("other", OTHERS)
def test_without_a_schedule_lr_the_first_step_is_an_error(rules: str, other: str) -> None:
    model, optimizer = make(MOVING[rules])
    scheduler = OTHERS[other](optimizer)
    refused(model, optimizer)
    if isinstance(scheduler, peer.LRScheduler):
        with pytest.raises(OptimizerError, match=other):
            optimizer.step()


ROUTES: dict[str, Any] = {
    "loaded from a file": lambda o: (o.load_state_dict(through_a_file(o.state_dict())), o)[1],
    "loaded from memory": lambda o: (o.load_state_dict(o.state_dict()), o)[1],
    "rebuilt by type": lambda o: (o.load_state_dict(by_type(o.state_dict())), o)[1],
}


def by_type(state: Any) -> Any:
    """As Accelerate moves a state to a device."""
    if isinstance(state, dict):
        return type(state)({key: by_type(value) for key, value in state.items()})
    return type(state)(map(by_type, state)) if isinstance(state, list | tuple) else state


@pytest.mark.parametrize("rules", MOVING)
@pytest.mark.parametrize("route", ROUTES)
def test_whatever_has_been_loaded(rules: str, route: str) -> None:
    model, optimizer = make(MOVING[rules], torch.optim.AdamW)
    optimizer = ROUTES[route](ROUTES[route](optimizer))
    peer.LambdaLR(optimizer, lambda step: 1.0)
    refused(model, optimizer)


class OwnOptimizer(torch.optim.Optimizer):
    """One of a user's, without a ``__setstate__`` of its own."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    tensor.add_(tensor.grad, alpha=-group["lr"])


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW, OwnOptimizer])
@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("driven", [False, True])
def test_a_copy_of_an_optimizer(kind: Any, loaded: bool, driven: bool) -> None:
    """It has lost its scheduler with its hooks; a copy with the scheduler has not."""
    model, optimizer = make(kind=kind)
    scheduler = ScheduleLR(optimizer, linear(10)) if driven else None
    if loaded:
        optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
    copied, copied_optimizer = copy.deepcopy((model, optimizer))
    refused(copied, copied_optimizer)
    again, again_optimizer = copy.deepcopy((copied, copied_optimizer))
    refused(again, again_optimizer)
    if driven:
        both, following = copy.deepcopy((model, scheduler))
        update(both, following.optimizer, 0)
        following.step()


def test_a_group_that_is_added() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model.head, lr=0.1))
    update(model, optimizer, 0)
    for group in param_groups(model.backbone, {"0": linear(5)}, lr=0.1):
        optimizer.add_param_group(group)
    refused(model, optimizer)


def test_groups_that_a_second_optimizer_is_made_of() -> None:
    """As when a cell of a notebook is run again."""
    model = make_network()
    groups = param_groups(model, MOVING["a strategy"], lr=0.1)
    torch.optim.SGD(groups)
    refused(model, torch.optim.AdamW(groups))
    ScheduleLR(torch.optim.SGD(groups), linear(10))
    refused(model, torch.optim.RMSprop(groups))


def test_other_settings_in_a_copied_group() -> None:
    model = make_network()
    groups = param_groups(model, MOVING["a strategy"], lr=0.1)
    optimizer = torch.optim.SGD([{**group, "momentum": 0.9} for group in groups])
    refused(model, optimizer)


def test_a_scheduler_that_is_gone() -> None:
    model, optimizer = make()
    scheduler = ScheduleLR(optimizer, linear(10), last_epoch=4)
    update(model, optimizer, 0)
    del scheduler
    gc.collect()
    loss_of(model, 0).backward()
    with pytest.raises(OptimizerError, match=r"gone since step 5; keep it in a variable"):
        optimizer.step()
    kept = ScheduleLR(optimizer, linear(10), last_epoch=4)
    update(model, optimizer, 1)
    assert kept.last_epoch == 5


def test_a_schedule_lr_puts_it_right_after_the_error() -> None:
    """Also where the other scheduler has written base rates of its own."""
    for name in ("LambdaLR", "StepLR", "CosineAnnealingLR"):
        model, optimizer = make({"backbone": piecewise_constant([2], [0.0, 1.0])})
        OTHERS[name](optimizer)
        refused(model, optimizer)
        scheduler = ScheduleLR(optimizer)
        seen = []
        for step in range(3):
            seen.append(rates(optimizer))
            update(model, optimizer, step)
            scheduler.step()
        assert seen == [[0.0, 0.1], [0.0, 0.1], [0.1, 0.1]]


def test_what_does_not_train_still_works() -> None:
    """Printing, a state, a search for a rate, and a plain optimizer of the same model."""
    model, optimizer = make()
    assert "lr: 0.0" in repr(optimizer)
    assert rates(optimizer)[-1] == 0.1
    pickle.loads(pickle.dumps(optimizer))
    finding = find_lr(
        model,
        optimizer,
        torch.nn.functional.cross_entropy,
        [make_batch(step) for step in range(5)],
        steps=20,
        progress=False,
        method="sweep",
    )
    assert finding.group_factors["head"] == 1.0
    update(model, torch.optim.SGD(model.parameters(), lr=0.1), 0)
    refused(model, optimizer)


def test_no_hook_is_left_on_others() -> None:
    """Optimizers of groups that don't move have no hooks on their steps, nor has anyone else."""
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, {"head": 0.5}, lr=0.1))
    assert len(optimizer._optimizer_step_pre_hooks) == 0
    assert type(optimizer.param_groups[0]) is dict
    assert type(optimizer.param_groups[0]["params"]) is list


# -- beside a ScheduleLR ----------------------------------------------------------------------


def test_schedulers_that_multiply_compose_as_in_pytorch() -> None:
    """The oracle is PyTorch's own chain, with LinearLR in place of ours."""
    for other in (
        lambda optimizer: peer.StepLR(optimizer, 3, gamma=0.5),
        lambda optimizer: peer.ExponentialLR(optimizer, 0.9),
        lambda optimizer: peer.MultiStepLR(optimizer, [2, 5], gamma=0.3),
        lambda optimizer: peer.CosineAnnealingLR(optimizer, 40),
        lambda optimizer: peer.ConstantLR(optimizer, factor=0.25, total_iters=4),
    ):
        seen = []
        for ours in (True, False):
            model = make_network()
            optimizer = torch.optim.SGD(param_groups(model, {"head": 0.5}, lr=0.1))
            first: Any = (
                ScheduleLR(optimizer, linear(20, start=1.0, end=0.1))
                if ours
                else peer.LinearLR(optimizer, 1.0, 0.1, total_iters=20)
            )
            chain = peer.ChainedScheduler([first, other(optimizer)])
            for step in range(12):
                update(model, optimizer, step)
                chain.step()
                seen.append(rates(optimizer))
        ours_seen, theirs = seen[:12], seen[12:]
        for mine, peers in zip(ours_seen, theirs, strict=True):
            assert mine == pytest.approx(peers, rel=1e-12)


UNDOING: dict[str, Any] = {
    "LambdaLR": lambda optimizer: peer.LambdaLR(optimizer, lambda step: 1.0),
    "CosineAnnealingWarmRestarts": lambda optimizer: peer.CosineAnnealingWarmRestarts(optimizer, 5),
    "OneCycleLR": lambda optimizer: peer.OneCycleLR(optimizer, max_lr=0.1, total_steps=30),
    "CosineAnnealingLR": lambda optimizer: peer.CosineAnnealingLR(optimizer, 5, eta_min=0.01),
    "SWALR": lambda optimizer: SWALR(optimizer, swa_lr=0.1, anneal_epochs=1),
}


@pytest.mark.parametrize("name", UNDOING)
@pytest.mark.parametrize("first", [False, True])
def test_one_that_would_undo_it_is_named_once_and_does_not(name: str, first: bool) -> None:
    rules = {"backbone": piecewise_constant([4], [0.0, 0.5])}
    model, optimizer = make(rules)
    schedule = linear(20)
    if first:
        other = UNDOING[name](optimizer)
    scheduler = ScheduleLR(optimizer, schedule)
    if not first:
        other = UNDOING[name](optimizer)
    used: list[Any] = []
    optimizer.register_step_post_hook(lambda o, *_: used.append(rates(o)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(8):
            update(model, optimizer, step)
            scheduler.step()
            other.step()
    told = [str(each.message) for each in caught if "each undoes the other" in str(each.message)]
    assert len(told) == 1
    assert "ScheduleLR(linear(20))" in told[0]
    assert f" {name} " in told[0]
    base = 0.004 if name == "OneCycleLR" and first else 0.1  # it sets the groups' base rate, too
    # A cosine with a floor sets a rate that is 0, and multiplies all others.
    for step, (backbone, head) in enumerate(used[: 4 if name == "CosineAnnealingLR" else None]):
        assert backbone == pytest.approx(base * schedule(step) * (0.5 if step >= 4 else 0.0))
        assert name == "CosineAnnealingLR" or head == pytest.approx(base * schedule(step))


@pytest.mark.parametrize("name", ["CosineAnnealingWarmRestarts", "OneCycleLR", "SWALR"])
def test_one_that_would_undo_fixed_multipliers_is_told_too(name: str) -> None:
    model, optimizer = make({"backbone": 0.1})
    scheduler, other = ScheduleLR(optimizer, constant(1.0)), UNDOING[name](optimizer)

    def train() -> None:
        for step in range(5):
            update(model, optimizer, step)
            scheduler.step()
            other.step()

    with pytest.warns(UserWarning, match=rf"{name}.* each undoes the other"):
        train()


def test_rates_that_a_loop_sets_by_hand_do_not_undo_a_multiplier() -> None:
    model, optimizer = make({"backbone": constant(0.5), "head": exponential(0.5)})
    scheduler = ScheduleLR(optimizer)
    used: list[Any] = []
    optimizer.register_step_post_hook(lambda o, *_: used.append(rates(o)))

    def loop() -> None:
        for step in range(3):
            for group in optimizer.param_groups:
                group["lr"] = 0.1
            update(model, optimizer, step)
            scheduler.step()

    with pytest.warns(UserWarning, match="something else set the rates of one optimizer"):
        loop()
    assert used == [[0.05, 0.1], [0.05, 0.05], [0.05, 0.025]]


def test_two_schedule_lrs_that_take_turns_are_named_once() -> None:
    for chained in (False, True):
        model = make_network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        pair = [ScheduleLR(optimizer, linear(10)), ScheduleLR(optimizer, exponential(0.5))]
        chain = peer.ChainedScheduler(pair) if chained else None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step in range(6):
                update(model, optimizer, step)
                for each in [chain] if chain else pair:
                    each.step()
        told = [str(each.message) for each in caught if "undoes" in str(each.message)]
        assert len(told) == 1
        assert "ScheduleLR(linear(10))" in told[0]
        assert "ScheduleLR(exponential(0.5))" in told[0]


def test_one_that_replaces_another_is_no_pair() -> None:
    model, optimizer = make()
    old = ScheduleLR(optimizer, linear(10))
    update(model, optimizer, 0)
    old.step()
    new = ScheduleLR(optimizer, exponential(0.5), last_epoch=0)
    for step in range(3):
        update(model, optimizer, step)
        new.step()
    assert old.last_epoch == 1
    assert rates(optimizer)[-1] == 0.1 * 0.5**4


# -- ReduceLROnPlateau ------------------------------------------------------------------------


def plateau_run(rules: Any, steps: range, checkpoint: Any = None) -> tuple[list[Any], Any]:
    """Cuts by 0.1 after each fourth step; a checkpoint is taken right after a cut."""
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, rules, lr=0.1), momentum=0.9)
    scheduler = ScheduleLR(optimizer, cosine(40))
    plateau = peer.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    parts = {"model": model, "optimizer": optimizer, "schedule": scheduler, "plateau": plateau}
    if checkpoint is not None:
        for name, part in parts.items():
            part.load_state_dict(checkpoint[name])
    seen, saved = [], None
    for step in steps:
        update(model, optimizer, step)
        scheduler.step()
        if step % 4 == 3:
            plateau.step(1.0)
        if step == 7:
            saved = through_a_file({name: part.state_dict() for name, part in parts.items()})
        seen.append((rates(optimizer), bits(model.parameters())))
    return seen, saved


def test_cuts_act_on_the_base_and_resume_exactly() -> None:
    rules = {"head": 0.5, "backbone.3": piecewise_constant([10], [0.0, 1.0])}
    whole, saved = plateau_run(rules, range(16))
    resumed, _ = plateau_run(rules, range(8, 16), saved)
    assert resumed == whole[8:]
    for step, (found, _) in enumerate(whole):
        cuts = max(0, (step + 1) // 4 - 1)  # the first metric is the best so far
        factor = 0.1**cuts * cosine(40)(step + 1)
        late = 0.1 * factor if step + 1 >= 10 else 0.0  # those that were frozen are cut as well
        assert found == pytest.approx([0.1 * factor, late, 0.05 * factor], rel=1e-12)


def test_a_floor_of_a_cut_is_each_groups() -> None:
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(parameters, (1.0, 0.1), strict=True)]
    optimizer = torch.optim.SGD(groups)
    scheduler = ScheduleLR(optimizer, linear(10))
    plateau = peer.ReduceLROnPlateau(optimizer, factor=0.1, patience=0, min_lr=0.05)
    plateau.step(1.0)
    plateau.step(1.0)
    assert rates(optimizer) == [0.1, 0.05]
    scheduler.step()
    assert rates(optimizer) == pytest.approx([0.1 * 0.9, 0.05 * 0.9])
    assert scheduler.base_lrs == pytest.approx([0.1, 0.05])


def test_a_cut_before_a_group_joins_stays() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model.backbone, lr=0.1))
    scheduler = ScheduleLR(optimizer, linear(10))
    for group in optimizer.param_groups:
        group["lr"] *= 0.5
    optimizer.add_param_group({"params": model.head.parameters(), "lr": 1.0})
    scheduler.step()
    assert rates(optimizer) == pytest.approx([0.05 * 0.9, 0.9])


# -- SequentialLR -----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_in_a_sequence_each_has_its_turn() -> None:
    rules = {"backbone": piecewise_constant([2], [0.0, 1.0])}

    def make_sequence() -> tuple[Any, Any, Any]:
        model, optimizer = make(rules)
        parts = [ScheduleLR(optimizer, linear(10)), ScheduleLR(optimizer, exponential(0.5))]
        return model, optimizer, peer.SequentialLR(optimizer, parts, milestones=[4])

    model, optimizer, sequence = make_sequence()
    seen, states = [], []
    start = bits(model.backbone.parameters())
    for step in range(8):
        seen.append(rates(optimizer))
        states.append(
            through_a_file({"optimizer": optimizer.state_dict(), "sequence": sequence.state_dict()})
        )
        update(model, optimizer, step)
        assert (bits(model.backbone.parameters()) == start) == (step < 2)
        sequence.step()
    line, power = linear(10), exponential(0.5)
    assert [head for _, head in seen] == pytest.approx(
        [0.1 * line(step) for step in range(4)] + [0.1 * power(step) for step in range(4)]
    )
    assert [low for low, _ in seen[:4]] == pytest.approx([0.0, 0.0, 0.1 * line(2), 0.1 * line(3)])
    for step, state in enumerate(states):
        _, resumed, again = make_sequence()
        resumed.load_state_dict(state["optimizer"])
        again.load_state_dict(state["sequence"])
        assert rates(resumed) == seen[step]
        again.step()
        assert step == 7 or rates(resumed) == seen[step + 1]


@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_a_sequence_that_begins_with_a_scheduler_of_pytorchs() -> None:
    def run(rules: Any) -> tuple[Any, Any, Any]:
        model, optimizer = make(rules)
        parts = [peer.LinearLR(optimizer, 0.1, total_iters=3), ScheduleLR(optimizer, linear(10))]
        return model, optimizer, peer.SequentialLR(optimizer, parts, milestones=[3])

    model, optimizer, sequence = run({"head": 0.5})
    seen = []
    for step in range(5):
        seen.append(rates(optimizer)[0])
        update(model, optimizer, step)
        optimizer.state_dict()
        sequence.step()
    assert seen == pytest.approx([0.01, 0.04, 0.07, 0.1, 0.09])
    model, optimizer, sequence = run(MOVING["a strategy"])
    loss_of(model, 0).backward()
    with pytest.raises(OptimizerError, match=r"SequentialLR has put the ScheduleLR .* aside"):
        optimizer.step()
