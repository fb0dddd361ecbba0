"""Frozen is frozen for what is around the optimizer too: as if the layer had no requires_grad.

The oracle is a loop by hand, which sets ``requires_grad``. Both have to agree in every bit, while
the layer is frozen and after it has thawed.
"""

import copy
import gc
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from layerwise import constant, cosine, gradual_unfreezing, piecewise_constant
from layerwise.errors import OptimizerError
from layerwise.torch import ScheduleLR, find_lr, param_groups
from tests._support.torch.finding import QUIET
from tests._support.torch.networks import (
    Network,
    bits,
    loss_of,
    make_batch,
    make_network,
    set_gradients,
    state_bits,
)
from tests._support.torch.sam import SAM

THAW, STEPS = 3, 7
RULES = {"backbone": piecewise_constant([THAW], [0.0, 0.5])}
SCHEDULE = cosine(20)

Train = Callable[[Any, Any, int], None]


def clipped(model: Any, optimizer: Any, step: int) -> None:
    optimizer.zero_grad()
    loss_of(model, step).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()


def clipped_to_largest(model: Any, optimizer: Any, step: int) -> None:
    optimizer.zero_grad(set_to_none=False)
    loss_of(model, step).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.01, norm_type=float("inf"), foreach=True)
    optimizer.step()


def accumulated(model: Any, optimizer: Any, step: int) -> None:
    optimizer.zero_grad()
    for part in range(3):
        (loss_of(model, 3 * step + part) / 3).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()


def by_closure(model: Any, optimizer: Any, step: int) -> None:
    """As Lightning does it."""

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(model, step)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        return loss

    optimizer.step(closure)


def scaled(model: Any, optimizer: Any, step: int) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer.zero_grad()
    scaler.scale(loss_of(model, step)).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**10  # it has left nothing out


def checked(model: Any, optimizer: Any, step: int) -> None:
    """A loop that looks for NaN by itself, and stops."""
    optimizer.zero_grad()
    loss_of(model, step).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    nn.utils.clip_grad_norm_(model.parameters(), 0.1, error_if_nonfinite=True)
    optimizer.step()


WAYS: dict[str, Train] = {
    "clipped": clipped,
    "clipped to the largest": clipped_to_largest,
    "accumulated": accumulated,
    "by closure": by_closure,
    "scaled": scaled,
    "checked": checked,
}
OPTIMIZERS: dict[str, Any] = {
    "momentum": lambda groups: torch.optim.SGD(groups, momentum=0.9, weight_decay=0.1),
    "AdamW": lambda groups: torch.optim.AdamW(groups, weight_decay=0.1),
    "fused": lambda groups: torch.optim.Adam(groups, fused=True),
}


def by_hand(train: Train, make: Any) -> Iterator[list[bytes]]:
    """Train with requires_grad set by hand; the weights and their state after each step."""
    model = make_network()
    groups = [{"params": part.parameters(), "lr": 0.1} for part in (model.backbone, model.head)]
    optimizer = make(groups)
    model.backbone.requires_grad_(False)
    for step in range(STEPS):
        if step == THAW:
            model.backbone.requires_grad_(True)
        for group, factor in zip(optimizer.param_groups, (0.5, 1.0), strict=True):
            group["lr"] = 0.1 * SCHEDULE(step) * factor
        train(model, optimizer, step)
        yield [*bits(model.parameters()), state_bits(optimizer, model.parameters())]


@contextmanager
def poisoned(model: Any, wanted: bool) -> Iterator[None]:
    """NaN in the gradients of the backbone, and of nothing else."""
    hooks = [p.register_hook(lambda g: g * float("nan")) for p in model.backbone.parameters()]
    if not wanted:
        for hook in hooks:
            hook.remove()
    yield
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("nan", [False, True], ids=["", "NaN"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("way", WAYS)
def test_it_trains_as_without_requires_grad(way: str, name: str, nan: bool) -> None:
    model = make_network()
    optimizer = OPTIMIZERS[name](param_groups(model, RULES, lr=0.1))
    scheduler = ScheduleLR(optimizer, SCHEDULE)
    start = bits(model.backbone.parameters())
    for step, wanted in enumerate(by_hand(WAYS[way], OPTIMIZERS[name])):
        with poisoned(model, nan and step < THAW):
            WAYS[way](model, optimizer, step)
        scheduler.step()
        found = [*bits(model.parameters()), state_bits(optimizer, model.parameters())]
        assert found == wanted
        assert (bits(model.backbone.parameters()) == start) == (step < THAW)


def test_a_layer_that_freezes_later_steers_nothing_from_then_on() -> None:
    """A gradient that is left over from before is gone with the next one."""
    model, other = make_network(), make_network()
    rules = {"backbone": piecewise_constant([2], [1.0, 0.0])}
    optimizer = torch.optim.SGD(param_groups(model, rules, lr=0.1), weight_decay=0.1)
    scheduler = ScheduleLR(optimizer)
    peer = torch.optim.SGD(other.parameters(), lr=0.1, weight_decay=0.1)
    for step in range(5):
        if step == 2:
            other.backbone.requires_grad_(False)
        clipped(model, optimizer, step)
        clipped(other, peer, step)
        scheduler.step()
        assert bits(model.parameters()) == bits(other.parameters())


def by_rule(rule: Any) -> Callable[[Any], Any]:
    return lambda model: param_groups(model, {"backbone": rule}, lr=0.1)


def by_group(model: Any) -> Any:
    frozen = {"params": model.backbone.parameters(), "lr_multiplier": 0}
    return [frozen, {"params": model.head.parameters()}]


ALWAYS = {
    "number": by_rule(0),
    "schedule": by_rule(constant(0.0)),
    "lambda": by_rule(lambda step: 0.0),
    "group": by_group,
}


@pytest.mark.parametrize("groups", ALWAYS)
def test_a_multiplier_that_is_always_0(groups: str) -> None:
    """A number keeps it out of all groups, and its gradient would pile up with each step."""
    model, other = make_network(), make_network()
    optimizer = torch.optim.SGD(ALWAYS[groups](model), lr=0.1)
    scheduler = ScheduleLR(optimizer)
    peer = torch.optim.SGD(other.requires_grad_(False).head.requires_grad_(True).parameters(), 0.1)
    for step in range(4):
        clipped(model, optimizer, step)
        clipped(other, peer, step)
        scheduler.step()
    assert bits(model.parameters()) == bits(other.parameters())


def test_what_is_frozen_for_good_is_so_for_this_training_alone() -> None:
    """Other rules, an optimizer of the rest, a copy: each has what it says."""
    model = make_network()
    groups = param_groups(model, {"backbone": 0}, lr=0.1)
    scheduler = ScheduleLR(torch.optim.SGD(groups))
    twin, copied = copy.deepcopy((model, scheduler))
    for network in (model, twin):
        loss_of(network, 0).backward()
        assert all(p.grad is None for p in network.backbone.parameters())
    again = ScheduleLR(torch.optim.SGD(param_groups(model, {"backbone": 0.5}, lr=0.1)))
    loss_of(model, 0).backward()
    assert all(p.grad is not None for p in model.parameters())
    del scheduler, again
    fresh = pickle.loads(pickle.dumps(model))
    rest = torch.optim.SGD(param_groups(fresh, {"head": 0}, lr=0.1))
    other = ScheduleLR(rest)
    loss_of(fresh, 0).backward()
    assert [p.grad is None for p in fresh.parameters()] == [False] * 6 + [True] * 2
    assert other.last_epoch == copied.last_epoch == 0


@pytest.mark.parametrize("way", ["multiplier", "requires_grad"])
def test_a_group_that_is_added_later_trains_at_once(way: str) -> None:
    """PyTorch's usual way to unfreeze."""
    model, other = make_network(), make_network()
    for network in (model, other):
        network.backbone.requires_grad_(way == "multiplier" and network is model)
    rules = {"backbone": 0} if way == "multiplier" else {}
    optimizer = torch.optim.AdamW(param_groups(model, rules, lr=0.1))
    scheduler = ScheduleLR(optimizer)
    peer = torch.optim.AdamW(other.head.parameters(), lr=0.1)
    for step in range(4):
        if step == 2:
            for network, its in ((model, optimizer), (other, peer)):
                network.backbone.requires_grad_(True)
                its.add_param_group({"params": network.backbone.parameters(), "lr": 0.01})
        clipped(model, optimizer, step)
        clipped(other, peer, step)
        scheduler.step()
        assert bits(model.parameters()) == bits(other.parameters())


def test_two_optimizers_that_leave_each_others_layers_out() -> None:
    """Their schedulers are told by the rules that the rest is frozen; it is not."""
    model = make_network()
    parts = [
        torch.optim.SGD(param_groups(model, {"backbone": 0}, lr=0.1)),
        torch.optim.AdamW(param_groups(model, {"head": 0}, lr=0.1)),
    ]
    schedulers = [ScheduleLR(part) for part in parts]
    before = bits(model.parameters())
    for step in range(2):
        loss_of(model, step).backward()
        for part, scheduler in zip(parts, schedulers, strict=True):
            part.step()
            scheduler.step()
    assert all(a != b for a, b in zip(bits(model.parameters()), before, strict=True))


def test_each_layer_thaws_at_its_step() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, gradual_unfreezing(every=2), lr=0.1))
    scheduler = ScheduleLR(optimizer)
    layers = [model.backbone[0], model.backbone[1], model.backbone[3], model.head]
    with_gradient = []
    for step in range(8):
        clipped(model, optimizer, step)
        with_gradient.append([layer.weight.grad is not None for layer in layers])
        scheduler.step()
    assert with_gradient == [[step >= first for first in (4, 4, 2, 0)] for step in range(8)]
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())  # nothing is left


def test_a_parameter_that_the_user_has_frozen_stays_so_and_may_train_later() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, RULES, lr=0.1))
    model.backbone[0].requires_grad_(False)
    scheduler = ScheduleLR(optimizer)
    assert not model.backbone[0].weight.requires_grad
    model.backbone[0].requires_grad_(True)
    clipped(model, optimizer, 0)
    assert model.backbone[0].weight.grad is None
    scheduler.step(THAW)
    clipped(model, optimizer, 1)
    assert model.backbone[0].weight.grad is not None


@pytest.mark.parametrize("steps", ["two", "one"])
@pytest.mark.parametrize("base", [torch.optim.SGD, torch.optim.AdamW])
def test_sam_perturbs_no_frozen_layer(base: Any, steps: str) -> None:
    """Its two steps are not ``step()``, and its base optimizer makes the update."""
    options = {"weight_decay": 0.1}

    def train(model: Any, optimizer: Any, step: int) -> None:
        loss_of(model, step).backward()
        if steps == "one":

            def closure() -> Any:
                loss = loss_of(model, step)
                loss.backward()
                return loss

            optimizer.step(closure)
            return
        optimizer.first_step()
        loss_of(model, step).backward()
        optimizer.second_step()

    model = make_network()
    optimizer = SAM(param_groups(model, RULES, lr=0.1), base, **options)
    scheduler = ScheduleLR(optimizer, SCHEDULE)
    for step, wanted in enumerate(by_hand(train, lambda groups: SAM(groups, base, **options))):
        with poisoned(model, step < THAW):
            train(model, optimizer, step)
        scheduler.step()
        assert bits(model.parameters()) == wanted[:-1]
        if step == THAW + 1:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def test_sam_with_groups_of_its_own_is_refused() -> None:
    """A rate that is written into the one does not reach the other."""
    model = make_network()
    optimizer = SAM(param_groups(model, lr=0.1), torch.optim.SGD)
    optimizer.base_optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(OptimizerError, match=r"SAM and the SGD .* Let them share"):
        ScheduleLR(optimizer, SCHEDULE)


def test_gradients_from_elsewhere_can_be_dropped_by_one_line() -> None:
    """Hooks see what backward() accumulates, not what is assigned."""
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, RULES, lr=0.1))
    scheduler = ScheduleLR(optimizer)
    set_gradients(model.parameters(), 0)
    assert model.backbone[0].weight.grad is not None
    scheduler.drop_frozen_gradients()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is not None for p in model.head.parameters())


def copied(model: Any, optimizer: Any, scheduler: Any) -> Any:
    return copy.deepcopy((model, optimizer, scheduler))


def pickled(model: Any, optimizer: Any, scheduler: Any) -> Any:
    return pickle.loads(pickle.dumps((model, optimizer, scheduler)))


def loaded(model: Any, optimizer: Any, scheduler: Any) -> Any:
    new = Network()
    new.load_state_dict(model.state_dict())
    fresh = torch.optim.SGD(param_groups(new, RULES, lr=0.1))
    resumed = ScheduleLR(fresh)
    fresh.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    return new, fresh, resumed


@pytest.mark.parametrize("copying", [copied, pickled, loaded])
def test_a_copy_is_as_frozen_and_thaws_as_well(copying: Any) -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, RULES, lr=0.1))
    scheduler = ScheduleLR(optimizer)
    clipped(model, optimizer, 0)
    scheduler.step()
    twin = copying(model, optimizer, scheduler)
    for step in range(1, THAW + 2):
        for network, its_optimizer, its_scheduler in ((model, optimizer, scheduler), twin):
            clipped(network, its_optimizer, step)
            gradients = [p.grad is None for p in network.backbone.parameters()]
            assert set(gradients) == {step < THAW}
            its_scheduler.step()
    assert bits(model.parameters()) == bits(twin[0].parameters())


def test_a_copy_of_the_model_alone_is_free() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, RULES, lr=0.1))
    scheduler = ScheduleLR(optimizer)
    other = copy.deepcopy(model)
    loss_of(other, 0).backward()
    assert all(p.grad is not None for p in other.parameters())
    assert scheduler.last_epoch == 0


def test_a_scheduler_that_is_gone_freezes_nothing() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, RULES, lr=0.1))
    scheduler = ScheduleLR(optimizer)
    loss_of(model, 0).backward()
    assert model.backbone[0].weight.grad is None
    del scheduler
    gc.collect()
    loss_of(model, 0).backward()
    assert model.backbone[0].weight.grad is not None


def test_another_optimizer_trains_what_a_forgotten_scheduler_has_frozen() -> None:
    """As after a first Trainer, which is still there. It loses one update, and is told."""
    model = make_network()
    first = torch.optim.SGD(param_groups(model, RULES, lr=0.1))
    scheduler = ScheduleLR(first)
    second = torch.optim.AdamW(model.parameters())
    with pytest.warns(UserWarning, match=r"AdamW trains 6 parameters .* Delete it before"):
        clipped(model, second, 0)
    before = bits(model.backbone.parameters())
    for step in range(3):
        clipped(model, second, step)
    assert all(a != b for a, b in zip(bits(model.backbone.parameters()), before, strict=True))
    scheduler.step()
    loss_of(model, 0).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("rules", [{}, RULES], ids=["", "frozen too"])
def test_a_new_scheduler_takes_over_from_a_forgotten_one(rules: Any) -> None:
    """Without any loss, and so without a word."""
    model, other = make_network(), make_network()
    forgotten = ScheduleLR(torch.optim.SGD(param_groups(model, RULES, lr=0.1)))
    ends = []
    for network in (model, other):
        optimizer = torch.optim.AdamW(param_groups(network, rules, lr=0.1))
        scheduler = ScheduleLR(optimizer)
        for step in range(THAW + 2):
            clipped(network, optimizer, step)
            scheduler.step()
        ends.append(bits(network.parameters()))
    assert ends[0] == ends[1] != bits(make_network().parameters())
    forgotten.step()


def test_a_search_for_another_optimizer_takes_over_for_a_while() -> None:
    model = make_network()
    first = torch.optim.SGD(param_groups(model, RULES, lr=0.1))
    scheduler = ScheduleLR(first)
    fresh = torch.optim.SGD(param_groups(model, lr=0.1))
    moved = set()

    def loss(outputs: Any, targets: Any) -> Any:
        moved.add(bits(model.backbone.parameters())[0])
        return nn.functional.cross_entropy(outputs, targets)

    find_lr(model, fresh, loss, [make_batch(step) for step in range(20)], **QUIET)
    assert len(moved) > 5
    clipped(model, first, 0)
    assert model.backbone[0].weight.grad is None  # frozen as before
    assert scheduler.last_epoch == 0


def test_an_optimizer_of_other_parameters_is_left_alone() -> None:
    """As the discriminator's, beside a generator that is frozen for now."""
    model, other = make_network(), make_network()
    scheduler = ScheduleLR(torch.optim.SGD(param_groups(model, RULES, lr=0.1)))
    before = bits(other.parameters())
    clipped(other, torch.optim.SGD(other.parameters(), lr=0.1), 0)
    assert all(a != b for a, b in zip(bits(other.parameters()), before, strict=True))
    assert scheduler.last_epoch == 0


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")
def test_a_compiled_model_is_compiled_once() -> None:
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    model = make_network()
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = torch.optim.SGD(param_groups(compiled, gradual_unfreezing(every=1), lr=0.1))
    scheduler = ScheduleLR(optimizer)
    frozen = []
    for step in range(4):
        clipped(compiled, optimizer, step)
        frozen.append(sum(p.grad is None for p in model.parameters()))
        scheduler.step()
    assert frozen == [6, 4, 0, 0]
    assert counters["stats"]["unique_graphs"] == 1
    torch._dynamo.reset()
