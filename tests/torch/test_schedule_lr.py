"""ScheduleLR: rates from the step alone, in whatever order things happen."""

import copy
import gc
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from layerwise import cosine, cosine_restarts, exponential, linear, warmup
from layerwise.errors import OptimizerError, ScheduleError
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import make_network, through_a_file, update


def make_optimizer(**rules: Any) -> torch.optim.Optimizer:
    model = make_network()
    return torch.optim.SGD(param_groups(model, rules or {"head": 0.5}, lr=0.1), momentum=0.9)


def rates(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def test_it_is_a_scheduler_and_patches_nothing() -> None:
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, cosine(10))
    assert isinstance(scheduler, LRScheduler)
    assert "step" not in vars(optimizer)
    assert not hasattr(optimizer.step, "_wrapped_by_lr_sched")


def test_no_false_warning() -> None:
    """PyTorch's own schedulers warn at each of these."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = make_optimizer()
        scheduler = ScheduleLR(optimizer, cosine(10))
        scheduler.step()  # a loop that looks at the rates, without an update
        assert scheduler.get_lr() == scheduler.get_last_lr()
        optimizer.step = torch.no_grad()(optimizer.step)  # as mixed-precision tools do
        scheduler.step()
        scheduler.step(5)
        ScheduleLR(make_optimizer(), cosine(10), last_epoch=4).step()
    assert scheduler.last_epoch == 5


def test_one_a_list_or_by_name() -> None:
    fast, slow = exponential(0.5), exponential(0.9)
    for schedule, at_two in (
        (fast, [0.1 * 0.25, 0.05 * 0.25]),
        ([fast, slow], [0.1 * 0.25, 0.05 * slow(2)]),
        ((fast, slow), [0.1 * 0.25, 0.05 * slow(2)]),
        ({"head": fast}, [0.1, 0.05 * 0.25]),
        ({"head": fast, "default": slow}, [0.1 * slow(2), 0.05 * 0.25]),
        (lambda step: 1 / (1 + step), [0.1 * (1 / 3), 0.05 * (1 / 3)]),
        (None, [0.1, 0.05]),
    ):
        optimizer = make_optimizer()
        scheduler = ScheduleLR(optimizer, schedule)
        scheduler.step()
        scheduler.step()
        assert rates(optimizer) == at_two


def test_groups_without_a_name_are_called_by_their_place() -> None:
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [p]} for p in parameters], lr=1.0)
    ScheduleLR(optimizer, {"group 1": exponential(0.5)}).step()
    assert rates(optimizer) == [1.0, 0.5]
    assert "name" not in optimizer.param_groups[0]


def test_a_fresh_optimizer_starts_at_any_step() -> None:
    schedule = warmup(5) >> cosine(20)
    walked = ScheduleLR(make_optimizer(), schedule)
    for step in range(26):
        jumped = ScheduleLR(make_optimizer(), schedule, last_epoch=step - 1)
        assert jumped.last_epoch == walked.last_epoch == step
        assert jumped.get_last_lr() == walked.get_last_lr()
        walked.step()


def test_a_group_added_later_joins_at_the_right_rate_at_once() -> None:
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, linear(10))
    for _ in range(4):
        scheduler.step()
    late = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    late.grad = torch.ones_like(late)
    optimizer.add_param_group({"params": [late], "lr": 1.0, "momentum": 0.0})
    optimizer.step()  # before the scheduler has been asked for anything
    assert late.item() == -linear(10)(4)
    scheduler.step()
    assert scheduler.get_last_lr() == [rate * linear(10)(5) for rate in (0.1, 0.05, 1.0)]


def test_a_group_added_later_follows_its_own_schedule() -> None:
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, linear(10))
    scheduler.step()
    extra = torch.nn.ModuleDict({"extra": torch.nn.Linear(1, 1)})
    (group,) = param_groups(extra, {"extra": exponential(0.5)}, lr=1.0)
    optimizer.add_param_group(group)
    assert scheduler.get_last_lr()[2] == 1.0 * linear(10)(1) * 0.5
    optimizer.add_param_group(  # by hand: an object is taken, too, and becomes plain data
        {"params": [torch.nn.Parameter(torch.ones(1))], "lr_multiplier": lambda step: 0.25}
    )
    optimizer.param_groups[-1]["lr"] = 1.0
    scheduler.step()
    assert scheduler.get_last_lr()[3] == 1.0 * linear(10)(2) * 0.25
    assert isinstance(optimizer.param_groups[-1]["lr_multiplier"], dict)


def test_loading_the_optimizer_after_attaching_leaves_the_rates_moving() -> None:
    saved = make_optimizer()
    ScheduleLR(saved, linear(10), last_epoch=6)
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, linear(10))
    optimizer.load_state_dict(saved.state_dict())
    assert rates(optimizer) == [0.1, 0.05]  # the scheduler is at step 0 still, and says so
    scheduler.step()
    assert rates(optimizer) == [0.1 * linear(10)(1), 0.05 * linear(10)(1)]


def test_the_multiplier_in_an_optimizers_state_counts() -> None:
    """As every other setting of a group does when PyTorch loads it."""
    saved = make_optimizer(head=exponential(0.5))
    optimizer = make_optimizer(head=exponential(0.9))
    scheduler = ScheduleLR(optimizer)
    with pytest.warns(UserWarning, match="other multipliers for 'head'"):
        optimizer.load_state_dict(saved.state_dict())
    scheduler.step()
    assert rates(optimizer) == [0.1, 0.05]


def test_the_state_of_plain_groups_keeps_names_and_moving_multipliers() -> None:
    plain = torch.optim.SGD(
        [{"params": group["params"]} for group in make_optimizer().param_groups], lr=0.2
    )
    optimizer = make_optimizer(head=exponential(0.5))
    scheduler = ScheduleLR(optimizer)
    optimizer.load_state_dict(plain.state_dict())
    scheduler.step()
    assert [group["name"] for group in optimizer.param_groups] == ["default", "head"]
    assert rates(optimizer) == [0.2, 0.1]


def test_a_state_of_lambda_lr_has_its_base_rates_taken_over() -> None:
    before = make_optimizer()
    peer = torch.optim.lr_scheduler.LambdaLR(before, linear(10))
    update(make_network(), before, 0)
    peer.step()
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, linear(10), last_epoch=0)
    optimizer.load_state_dict(before.state_dict())
    assert scheduler.get_last_lr() == peer.get_last_lr()


def test_the_state_is_plain_and_brings_the_schedules() -> None:
    scheduler = ScheduleLR(make_optimizer(), {"head": warmup(3) >> cosine(10)}, last_epoch=6)
    state = scheduler.state_dict()
    assert state["last_epoch"] == 7
    other = ScheduleLR(make_optimizer())
    other.load_state_dict(copy.deepcopy(state))
    assert other.get_last_lr() == scheduler.get_last_lr()
    assert other.state_dict() == state


def test_other_schedules_in_a_state_count_and_are_told() -> None:
    state = ScheduleLR(make_optimizer(), cosine(10), last_epoch=4).state_dict()
    scheduler = ScheduleLR(make_optimizer(), cosine(20))
    with pytest.warns(UserWarning, match=r"other schedules.*last_epoch=4\)"):
        scheduler.load_state_dict(state)
    assert scheduler.get_last_lr() == [0.1 * cosine(10)(5), 0.05 * cosine(10)(5)]


def test_a_tensor_rate_is_filled_in_place() -> None:
    model = make_network()
    groups = param_groups(model, {"head": 0.5}, lr=torch.tensor(0.1))
    optimizer = torch.optim.Adam(groups, lr=torch.tensor(0.1))
    tensors = [group["lr"] for group in optimizer.param_groups]
    scheduler = ScheduleLR(optimizer, linear(10))
    told = scheduler.get_last_lr()
    for step in range(5):
        update(model, optimizer, step)
        scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == tensors  # the very same ones
    assert rates(optimizer) == pytest.approx([0.05, 0.025])
    assert [float(rate) for rate in told] == pytest.approx([0.1, 0.05])  # copies, not these
    assert all(type(group["initial_lr"]) is float for group in optimizer.param_groups)


def test_base_rates_can_be_read_and_set() -> None:
    scheduler = ScheduleLR(make_optimizer(), linear(10))
    scheduler.step()
    assert scheduler.base_lrs == [0.1, 0.05]
    scheduler.base_lrs = [1.0, 2.0]
    scheduler.step()
    assert scheduler.get_last_lr() == [0.8, 1.6]


def test_momentum_betas_and_weight_decay() -> None:
    momentum = linear(10, start=0.95, end=0.85)
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, cosine(10), momentum=momentum)
    scheduler.step()
    assert [group["momentum"] for group in optimizer.param_groups] == [momentum(1)] * 2

    model = make_network()
    groups = param_groups(model, lr=0.1, weight_decay=0.2, no_decay="head")
    adam = torch.optim.AdamW(groups, betas=(0.9, 0.99))
    scheduler = ScheduleLR(adam, betas=momentum, weight_decay_factor=linear(10))
    scheduler.step()
    assert [group["betas"] for group in adam.param_groups] == [(momentum(1), 0.99)] * 2
    assert [group["weight_decay"] for group in adam.param_groups] == [0.2 * 0.9, 0.0]
    scheduler = ScheduleLR(adam, betas=(None, linear(10, start=0.9)), last_epoch=2)
    assert adam.param_groups[0]["betas"] == (momentum(1), linear(10, start=0.9)(3))


class _ThreeBetas(torch.optim.SGD):
    """An optimizer with a third beta, like Adan and AdEMAMix."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, lr=0.1)
        for group in self.param_groups:
            group["betas"] = (0.98, 0.92, 0.99)


def test_a_third_beta_stays() -> None:
    falling = linear(10, start=0.9, end=0.8)
    optimizer = _ThreeBetas(make_network().parameters())
    ScheduleLR(optimizer, betas=(None, falling)).step()
    assert optimizer.param_groups[0]["betas"] == (0.98, falling(1), 0.99)
    ScheduleLR(optimizer, betas=falling).step()
    assert optimizer.param_groups[0]["betas"] == (falling(1), falling(1), 0.99)


PER_GROUP: dict[str, Any] = {
    "momentum": [None, linear(10, start=0.8)],
    "momentum by name": {"head": linear(10, start=0.8)},
    "momentum of a function": [None, lambda step: 0.8 * (1 - step / 10)],
    "betas": [None, (None, linear(10, start=0.8))],
    "betas by name": {"head": linear(10, start=0.8)},
    "weight_decay_factor": [None, linear(10, start=0.8)],
    "weight_decay_factor by name": {"head": linear(10, start=0.8)},
}


@pytest.mark.parametrize("what", PER_GROUP)
def test_hyperparameters_of_single_groups(what: str) -> None:
    """One for each group or by its name; a resumed run goes on with them."""
    argument = what.split(maxsplit=1)[0]

    def make() -> tuple[Any, ScheduleLR]:
        groups = param_groups(make_network(), {"head": 0.5}, lr=0.1, weight_decay=0.5)
        if argument == "momentum":
            optimizer: Any = torch.optim.SGD(groups, momentum=0.9)
        else:
            optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99))
        return optimizer, ScheduleLR(optimizer, cosine(10), **{argument: PER_GROUP[what]})

    def settings(optimizer: Any) -> list[Any]:
        key = argument.removesuffix("_factor")
        return [group[key] for group in optimizer.param_groups]

    optimizer, scheduler = make()
    before = settings(optimizer)[0]
    for _ in range(5):
        scheduler.step()
    value = pytest.approx(0.8 * 0.5)
    wanted = {
        "momentum": value,
        "betas": (0.9, value),
        "betas by name": (value, 0.99),
        "weight_decay_factor": pytest.approx(0.5 * 0.8 * 0.5),
    }
    assert settings(optimizer) == [before, wanted.get(what, wanted[argument])]
    resumed, other = make()
    other.load_state_dict(through_a_file(scheduler.state_dict()))
    resumed.load_state_dict(through_a_file(optimizer.state_dict()))
    scheduler.step()
    other.step()
    assert settings(resumed) == settings(optimizer)
    assert settings(resumed)[0] == before


def test_a_list_may_leave_a_group_its_rate() -> None:
    scheduler = ScheduleLR(make_optimizer(), [None, linear(10)], last_epoch=4)
    assert scheduler.get_last_lr() == [0.1, 0.05 * 0.5]
    other = ScheduleLR(make_optimizer())
    other.load_state_dict(through_a_file(scheduler.state_dict()))
    assert other.get_last_lr() == scheduler.get_last_lr()


def test_tensor_betas_are_filled_in_place() -> None:
    first, second = torch.tensor(0.9), torch.tensor(0.99)
    adam = torch.optim.Adam(
        make_network().parameters(), lr=torch.tensor(0.1), betas=(first, second)
    )
    ScheduleLR(adam, betas=linear(10, start=0.8)).step()
    assert adam.param_groups[0]["betas"] == (first, second)
    assert (first.item(), second.item()) == pytest.approx((0.72, 0.99))


def test_weight_decay_is_the_same_after_a_resume() -> None:
    def make() -> tuple[Any, ScheduleLR]:
        groups = param_groups(make_network(), lr=0.1, weight_decay=0.2)
        optimizer = torch.optim.AdamW(groups)
        return optimizer, ScheduleLR(optimizer, weight_decay_factor=linear(10))

    optimizer, scheduler = make()
    for _ in range(5):
        scheduler.step()
    again, resumed = make()
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    resumed.step()
    assert again.param_groups[0]["weight_decay"] == 0.2 * linear(10)(6)


def test_a_scheduler_that_is_dropped_lets_go_of_its_optimizer() -> None:
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, cosine(10))
    scheduler.step()
    kept = rates(optimizer)
    del scheduler
    gc.collect()
    assert len(optimizer._optimizer_step_pre_hooks) == 0
    optimizer.load_state_dict(optimizer.state_dict())
    assert rates(optimizer) == kept
    other = ScheduleLR(optimizer, linear(10))
    assert rates(optimizer) == [0.1, 0.05]
    assert other.last_epoch == 0


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_copy_is_a_scheduler_of_its_own(duplicate: Any) -> None:
    scheduler = ScheduleLR(make_optimizer(head=linear(4, start=0.0, end=1.0)), cosine(10))
    copied = duplicate(scheduler)
    copied.step()
    assert scheduler.last_epoch == 0
    assert copied.get_last_lr() == [
        0.1 * cosine(10)(1),
        0.1 * cosine(10)(1) * linear(4, start=0.0, end=1.0)(1),
    ]
    assert copied.optimizer is not scheduler.optimizer
    assert len(copied.optimizer._optimizer_step_pre_hooks) == 1


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")  # PyTorch's
def test_within_pytorchs_own_combinations() -> None:
    peer = torch.optim.lr_scheduler
    optimizer = make_optimizer()
    chained = peer.ChainedScheduler([ScheduleLR(optimizer, linear(10))])
    chained.step()
    assert rates(optimizer) == [0.1 * 0.9, 0.05 * 0.9]

    optimizer = make_optimizer()
    parts = [ScheduleLR(optimizer, linear(10)), ScheduleLR(optimizer, exponential(0.5))]
    sequence = peer.SequentialLR(optimizer, parts, milestones=[2])
    seen = []
    for _ in range(5):
        seen.append(rates(optimizer)[0])
        sequence.step()
    assert seen == pytest.approx([0.1, 0.09, 0.1, 0.05, 0.025])


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, torch.tensor])
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_a_step_between_two(kind: Any) -> None:
    """As CosineAnnealingWarmRestarts documents it: ``step(epoch + batch / batches)``."""
    seen = []
    for ours in (True, False):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
        scheduler: Any = (
            ScheduleLR(optimizer, cosine_restarts(3))
            if ours
            else torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3)
        )
        for quarter in range(40):
            scheduler.step(kind(quarter / 4) if ours else quarter / 4)
            seen.append(rates(optimizer)[0])
        scheduler.step(2.25)
        again = ScheduleLR(optimizer, cosine_restarts(3)) if ours else scheduler
        if ours:
            again.load_state_dict(through_a_file(scheduler.state_dict()))
            assert again.last_epoch == 2.25
        again.step()
        seen.append(rates(optimizer)[0])
    assert seen[:41] == pytest.approx(seen[41:], rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.float64, torch.tensor, float])
def test_a_step_that_is_whole_is_an_integer_to_a_callable(kind: Any) -> None:
    scheduler = ScheduleLR(make_optimizer(), lambda step: [1.0, 0.5, 0.25, 0.125][step])
    scheduler.step(kind(2))
    assert scheduler.get_last_lr() == [0.025, 0.0125]
    assert type(scheduler.last_epoch) is int
    with pytest.raises(ScheduleError, match=r"epoch must be a number from 0 to 2\*\*53, got -1"):
        scheduler.step(-1)


NO_RATE: dict[str, Any] = {
    "None": {"lr": None},
    "None of a group with a name": {"lr": None, "name": "body"},
    "none at all": {},
}


@pytest.mark.parametrize("case", NO_RATE)
def test_a_group_without_a_rate(case: str) -> None:
    optimizer = make_optimizer()
    group = optimizer.param_groups[1]
    for key in ("lr", "name"):
        del group[key]
    group.update(NO_RATE[case])
    before = [dict(each) for each in optimizer.param_groups]
    with pytest.raises(OptimizerError, match=r"has no rate: its lr is None.*relative_step=False"):
        ScheduleLR(optimizer, cosine(10))
    assert optimizer.param_groups == before
