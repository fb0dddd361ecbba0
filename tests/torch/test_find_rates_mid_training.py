"""find_rates beside a live scheduler: training goes on as if there had been no search."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate.scheduler import AcceleratedScheduler
from torch.optim import lr_scheduler as peer

from layerwise import constant, cosine, linear, piecewise_constant
from layerwise.errors import FinderError
from layerwise.torch import ScheduleLR, find_rates, param_groups
from tests._support.torch.finding import OPTIMIZERS, fingerprint, loss_function, make_loader
from tests._support.torch.networks import bits, make_network, update

QUIET: dict[str, Any] = {"budget": 120, "progress": False}
FALLING = piecewise_constant([4], [1.0, 0.0])  # frozen soon, not yet

SCHEDULERS: dict[str, Callable[[Any, list[str]], Any]] = {
    "one": lambda o, names: ScheduleLR(o, cosine(20)),
    "none": lambda o, names: ScheduleLR(o),
    "list": lambda o, names: ScheduleLR(o, [cosine(20), *[None] * (len(names) - 1)]),
    "mapping": lambda o, names: ScheduleLR(o, {names[-1]: linear(20)}),
    "weight decay": lambda o, names: ScheduleLR(o, cosine(20), weight_decay_factor=linear(9)),
    "tokens": lambda o, names: ScheduleLR(o, cosine(20).by("tokens"), counts={"tokens": 2}),
    "LambdaLR": lambda o, names: peer.LambdaLR(o, lambda step: 1 / (1 + step)),
    "CosineAnnealingLR": lambda o, names: peer.CosineAnnealingLR(o, 20),
    "ReduceLROnPlateau": lambda o, names: peer.ReduceLROnPlateau(o, patience=0),
}


def make(kind: str, several: bool, optimizer: str = "AdamW") -> tuple[Any, Any, Any]:
    model = make_network()
    groups: Any = model.parameters()
    if several:
        groups = [
            {"params": list(child.parameters()), "name": name}
            for name, child in model.named_children()
        ]
    made = OPTIMIZERS[optimizer](groups)
    names = [group.get("name", "group 0") for group in made.param_groups]
    return model, made, SCHEDULERS[kind](made, names)


def go_on(model: Any, optimizer: Any, scheduler: Any, steps: range) -> list[list[float]]:
    rates = []
    for step in steps:
        update(model, optimizer, step)
        rates.append([float(group["lr"]) for group in optimizer.param_groups])
        if isinstance(scheduler, peer.ReduceLROnPlateau):
            scheduler.step(1.0)
        elif isinstance(scheduler, ScheduleLR) and scheduler.counts:
            scheduler.step(tokens=1)
        else:
            scheduler.step()
    return rates


@pytest.mark.parametrize("optimizer", ["AdamW", "tensor rate"])
@pytest.mark.parametrize("several", [False, True], ids=["one group", "several"])
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_training_goes_on_as_without_a_search(kind: str, several: bool, optimizer: str) -> None:
    begun = 0 if several and kind in ("list", "mapping") else 3  # later the rates differ
    expected, trained = None, None
    for search in (False, True):
        model, made, scheduler = make(kind, several, optimizer)
        go_on(model, made, scheduler, range(begun))
        if search:
            before = fingerprint(model, made, scheduler)
            find_rates(model, made, loss_function, make_loader(), **QUIET)
            assert fingerprint(model, made, scheduler) == before
        rates = go_on(model, made, scheduler, range(begun, 9))
        if search:
            assert (rates, bits(model.parameters())) == (expected, trained)
        expected, trained = rates, bits(model.parameters())


@pytest.mark.parametrize("schedule", [None, cosine(20)], ids=repr)
def test_multipliers_that_move(schedule: Any) -> None:
    def make() -> tuple[Any, Any, Any]:
        model = make_network()
        rules = {"backbone": FALLING, "head": FALLING}
        optimizer = torch.optim.SGD(param_groups(model, rules, lr=0.1), momentum=0.9)
        return model, optimizer, ScheduleLR(optimizer, schedule)

    peer_model, *peers = make()
    expected = go_on(peer_model, *peers, range(6))
    model, optimizer, scheduler = make()
    rates = go_on(model, optimizer, scheduler, range(2))
    find_rates(model, optimizer, loss_function, make_loader(), **QUIET)
    rates += go_on(model, optimizer, scheduler, range(2, 6))
    assert rates == expected
    assert rates[-1][0] == 0.0
    assert bits(model.parameters()) == bits(peer_model.parameters())


@pytest.mark.parametrize("kind", ["one", "none", "list", "mapping", "tokens"])
def test_every_update_has_the_searched_rates_also_if_a_step_steps_the_scheduler(kind: str) -> None:
    model, optimizer, scheduler = make(kind, several=True, optimizer="SGD")
    before = fingerprint(model, optimizer, scheduler)
    seen: dict[str, list[list[float]]] = {"steps": [], "loss": []}

    def step(batch: Any) -> Any:
        loss = loss_function(model(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen["steps"].append([float(group["lr"]) for group in optimizer.param_groups])
        scheduler.step(**({"tokens": 1} if kind == "tokens" else {}))
        return loss

    def plain(batch: Any) -> Any:
        loss = loss_function(model(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen["loss"].append([float(group["lr"]) for group in optimizer.param_groups])
        return loss

    for function in (step, plain):
        torch.manual_seed(0)
        data = [(x, y) for x, y in make_loader()]
        find_rates(model, optimizer, None, data, step=function, schedule="falling", **QUIET)
        assert fingerprint(model, optimizer, scheduler) | {"random": ""} == before | {"random": ""}
    assert seen["steps"] == seen["loss"]


def test_rates_set_before_the_search_by_a_plateau_of_pytorch_stay() -> None:
    model, optimizer, scheduler = make("one", several=True)
    for group in optimizer.param_groups:
        group["lr"] *= 0.5
    find_rates(model, optimizer, loss_function, make_loader(), **QUIET)
    scheduler.step()
    base = 1e-3 * 0.5
    assert [group["lr"] for group in optimizer.param_groups] == [base * cosine(20)(1)] * 2


def test_groups_that_were_taken_away() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, {"backbone": 0.5}, lr=0.1))
    scheduler = ScheduleLR(optimizer, cosine(20))
    scheduler.step()
    del optimizer.param_groups[0]
    scheduler.step()
    assert scheduler.get_last_lr() == [0.1 * cosine(20)(2)]


class Counted:
    """A scheduler of the user's, which only its state shows."""

    def __init__(self) -> None:
        self.at = [0]

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at[0]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at[0] = state["at"]


def test_a_scheduler_that_is_given_is_put_back_though_the_optimizer_does_not_know_it() -> None:
    model, optimizer, _ = make("none", several=False, optimizer="SGD")
    scheduler = Counted()

    def step(batch: Any) -> Any:
        loss = loss_function(model(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.at[0] += 1
        return loss

    find_rates(model, optimizer, None, make_loader(), step=step, scheduler=scheduler, **QUIET)
    assert scheduler.at == [0]
    with pytest.raises(FinderError, match=r"has no state_dict\(\)"):
        find_rates(model, optimizer, None, make_loader(), step=step, scheduler=step, **QUIET)


@pytest.mark.parametrize("given", [False, True])
def test_probes_follow_the_shape_of_the_scheduler_that_is_given(given: bool) -> None:
    """Of two on the optimizer the last one counts, unless another is given, also in a wrapper."""
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each undoes the other
        falling = ScheduleLR(optimizer, linear(200))
        level = ScheduleLR(optimizer, constant())
    wrapped = AcceleratedScheduler(falling, optimizer)
    options: dict[str, Any] = {"scheduler": wrapped} if given else {}
    found = find_rates(model, optimizer, loss_function, make_loader(), **options, **QUIET)
    expected = "linear(200)" if given else "constant(1.0)"
    assert expected in found.training
    assert level.last_epoch == 0
