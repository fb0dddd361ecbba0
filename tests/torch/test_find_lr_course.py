"""find_lr reads how the rate will go from the schedulers, and its probes train in that shape."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as peer

from layerwise import constant, cosine, warmup
from layerwise.torch import ScheduleLR, find_lr, param_groups
from layerwise.torch._finder.course import course_of
from tests._support.torch.finding import fingerprint, loss_function, make_searched
from tests._support.torch.networks import make_batch, make_network

RISING = warmup(40) >> cosine(360)


class Own(peer.LRScheduler):
    """A scheduler of the user's."""

    def get_lr(self) -> list[Any]:
        return [base / (1 + self.last_epoch) for base in self.base_lrs]


def in_sequence(optimizer: Any) -> Any:
    parts = [peer.LinearLR(optimizer, 0.1, total_iters=40), peer.CosineAnnealingLR(optimizer, 360)]
    return peer.SequentialLR(optimizer, parts, milestones=[40])


def chained(optimizer: Any) -> Any:
    parts = [peer.ConstantLR(optimizer, 0.1, total_iters=40), peer.PolynomialLR(optimizer, 400)]
    return peer.ChainedScheduler(parts)


KNOWN: list[Any] = [
    lambda o: peer.CosineAnnealingLR(o, 400),
    lambda o: peer.CosineAnnealingLR(o, 400, eta_min=1e-4),
    lambda o: peer.LinearLR(o, 1.0, 0.1, total_iters=400),
    lambda o: peer.PolynomialLR(o, 400, power=2.0),
    lambda o: peer.MultiStepLR(o, [200, 300]),
    lambda o: peer.OneCycleLR(o, 0.1, total_steps=400),
    in_sequence,
    chained,
    lambda o: peer.LambdaLR(o, lambda step: max(1 - step / 400, 0.0)),
    lambda o: ScheduleLR(o, RISING),
    lambda o: ScheduleLR(o, lambda step: max(1 - step / 400, 0.0)),
]
ENDLESS: list[Any] = [
    lambda o: peer.StepLR(o, 100),
    lambda o: peer.ExponentialLR(o, 0.99),
    lambda o: peer.CyclicLR(o, 1e-3, 1e-2, step_size_up=50),
    lambda o: peer.CosineAnnealingWarmRestarts(o, 100),
    lambda o: peer.MultiplicativeLR(o, lambda step: 0.99),
    lambda o: peer.LambdaLR(o, lambda step: 0.99**step),
    lambda o: ScheduleLR(o, lambda step: 0.99**step),
    Own,
]
TOGETHER = [(each, None) for each in KNOWN] + [(each, 400) for each in ENDLESS]


def quietly(make: Callable[[Any], Any], optimizer: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(optimizer)


def stepped(optimizer: Any, scheduler: Any, steps: int) -> list[float]:
    """The highest rate at each step of a training."""
    rates = []
    for _ in range(steps):
        rates.append(max(float(group["lr"]) for group in optimizer.param_groups))
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.step()
    return rates


def found(make: Callable[[Any], Any] = lambda optimizer: None, **options: Any) -> Any:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = quietly(make, optimizer)
    batches = [make_batch(seed) for seed in range(12)]
    before = fingerprint(model, optimizer, *filter(None, [scheduler]))
    finding = find_lr(model, optimizer, loss_function, batches, steps=60, progress=False, **options)
    assert fingerprint(model, optimizer, *filter(None, [scheduler])) == before
    return finding


@pytest.mark.parametrize(("make", "horizon"), TOGETHER)
@pytest.mark.parametrize("tensor", [False, True], ids=["float", "tensor"])
def test_the_course_is_that_of_the_scheduler(
    make: Callable[[Any], Any], horizon: int | None, tensor: bool
) -> None:
    _, optimizer = make_searched("tensor rate" if tensor else "momentum")
    (base,) = {float(group["lr"]) for group in optimizer.param_groups}
    if make in (KNOWN[5], ENDLESS[2]) and tensor:
        optimizer = torch.optim.AdamW(make_network().parameters(), lr=base)  # they set a number
    scheduler = quietly(make, optimizer)
    setting = isinstance(scheduler, peer.OneCycleLR | peer.CyclicLR)
    course = course_of(optimizer, None, [1.0], horizon)
    assert course is not None
    rates = stepped(optimizer, scheduler, 400)
    base = max(rates) if setting else base
    values = [course(step) * base for step in range(400)]
    assert values == pytest.approx(rates, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("make", [KNOWN[0], KNOWN[5], KNOWN[8], KNOWN[9], in_sequence])
def test_it_counts_from_where_training_has_come_to(make: Callable[[Any], Any]) -> None:
    _, optimizer = make_searched("momentum")
    base = float(optimizer.param_groups[0]["lr"])
    scheduler = quietly(make, optimizer)
    stepped(optimizer, scheduler, 100)
    course = course_of(optimizer, scheduler, [1.0])
    assert course is not None
    values = [course(step) for step in range(299)]
    rates = stepped(optimizer, scheduler, 299)
    if isinstance(scheduler, peer.OneCycleLR):
        base = max(rates)
    assert values == pytest.approx([rate / base for rate in rates], rel=1e-6, abs=1e-9)


def test_without_a_scheduler_and_with_one_that_hears_the_loss_nothing_is_known() -> None:
    _, optimizer = make_searched()
    assert course_of(optimizer, None, [1.0]) is None
    plateau = peer.ReduceLROnPlateau(optimizer)
    assert course_of(optimizer, None, [1.0]) is None
    assert course_of(optimizer, plateau, [1.0]) is None


def test_a_scheduler_that_is_given_counts_more_than_one_that_is_there() -> None:
    _, optimizer = make_searched()
    there = ScheduleLR(optimizer, constant())
    given = quietly(lambda o: peer.LambdaLR(o, lambda step: max(1 - step / 400, 0.0)), optimizer)
    course = course_of(optimizer, given, [1.0])
    assert course is not None
    assert course(200) == 0.5
    assert course_of(optimizer, None, [1.0]) == constant()
    assert there.last_epoch == 0


def test_the_highest_group_counts() -> None:
    groups = param_groups(make_network(), {"backbone": 0.1}, lr=0.1)
    optimizer = torch.optim.SGD(groups)
    shares = [group["lr"] / 0.1 for group in optimizer.param_groups]
    slow, fast = cosine(400), warmup(40) >> cosine(360)
    order = [slow if share < 1 else fast for share in shares]
    _ = ScheduleLR(optimizer, order)
    course = course_of(optimizer, None, shares)
    assert course is not None
    values = [course(step) for step in range(400)]
    assert values == pytest.approx([max(0.1 * slow(n), fast(n)) for n in range(400)])


def test_a_scheduler_that_goes_on_once_an_epoch_is_stretched() -> None:
    _, optimizer = make_searched("momentum")
    _ = quietly(lambda o: peer.CosineAnnealingLR(o, 100), optimizer)
    course = course_of(optimizer, None, [1.0], horizon=1600)
    assert course is not None
    values = [course(step) for step in range(0, 1600, 16)]
    assert values == pytest.approx([cosine(100)(step) for step in range(100)], abs=1e-9)


def test_the_answer_is_that_of_the_same_shape_as_an_argument() -> None:
    given = found(schedule=RISING)
    read = found(lambda optimizer: ScheduleLR(optimizer, RISING))
    assert read == given
    assert given.schedule == repr(RISING)
    assert found(KNOWN[0]).suggestion == found(schedule=cosine(400)).suggestion
    assert found(KNOWN[0]).schedule == "the optimizer's CosineAnnealingLR of 400 updates"


def test_a_constant_schedule_is_a_constant_rate() -> None:
    steady = found(schedule="constant")
    assert steady.schedule == "constant"
    assert found(lambda optimizer: ScheduleLR(optimizer, constant())).suggestion == (
        steady.suggestion
    )
    assert found(lambda optimizer: peer.LambdaLR(optimizer, lambda step: 1.0)).suggestion == (
        steady.suggestion
    )
    assert steady.suggestion < found().suggestion


@pytest.mark.parametrize("make", ENDLESS)
def test_an_endless_scheduler_needs_a_horizon_and_says_so(make: Callable[[Any], Any]) -> None:
    plain, silent = found(), found(make)
    assert silent.schedule == "falling"
    assert silent.suggestion == plain.suggestion
    assert "no end that could be read: pass horizon=" in silent.reason
    told = found(make, horizon=400)
    assert told.schedule.startswith("the optimizer's ")
    assert "pass horizon=" not in told.reason
