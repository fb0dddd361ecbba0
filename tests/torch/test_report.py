"""What reported metrics decide, against PyTorch's own scheduler and against a loop by hand."""

import copy
import io
import random
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from layerwise import cosine, gradual_unfreezing, on_plateau, plateau, reduce_on_plateau
from layerwise.errors import ConfigError, ScheduleError
from layerwise.recorder import History
from layerwise.torch import Recorder, ScheduleLR, explain, param_groups

X = torch.linspace(-1, 1, 32).reshape(8, 4)
LOSSES = [1, 0.9, 0.95, 0.91, 0.8, 0.9, 0.9, 0.9]
RULES = [
    gradual_unfreezing(when=plateau("val_loss", patience=2, restore_best=True)),
    {"2.bias": reduce_on_plateau("val_loss", factor=0.5, patience=1)},
]


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    model.add_module("2", nn.Linear(3, 3))
    optimizer = torch.optim.AdamW(param_groups(model, RULES, lr=0.1))
    return model, optimizer, ScheduleLR(optimizer, cosine(100))


def update(model, optimizer):
    optimizer.zero_grad()
    model(X).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_a_reduction_is_that_of_pytorch(seed, mode, threshold_mode):
    rng = random.Random(seed)
    patience, cooldown = rng.randint(0, 4), rng.randint(0, 3)
    threshold = rng.choice([0.0, 0.05])
    weight = nn.Parameter(torch.zeros(1))
    one, other = (torch.optim.SGD([weight], lr=1.0) for _ in range(2))
    peer = ReduceLROnPlateau(
        one, mode, 0.5, patience, threshold, threshold_mode, cooldown, min_lr=0.01, eps=0
    )
    relative = threshold_mode == "rel"
    ours = ScheduleLR(
        other,
        reduce_on_plateau(
            "m", 0.5, patience + 1, 0.01, mode, threshold, relative=relative, cooldown=cooldown
        ),
    )
    history = [round(rng.gauss(1, 0.1), 2) for _ in range(60)]
    history[7] = float("nan")
    for value in history:
        peer.step(value)
        ours.report(value)
        assert ours.get_last_lr() == peer.get_last_lr()
    assert one.param_groups[0]["lr"] < 1


def trained(model, optimizer, scheduler, losses):
    found = []
    for loss in losses:
        update(model, optimizer)
        scheduler.step()
        scheduler.report({"val_loss": loss}, model=model)
        state = [value.detach().clone() for value in model.state_dict().values()]
        found.append((scheduler.get_last_lr(), state))
    return found


def same(one, other):
    return one[0] == other[0] and all(map(torch.equal, one[1], other[1]))


@pytest.mark.parametrize("order", ["os", "so"])
@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_training_is_resumed_exactly(order, cut):
    expected = trained(*make(), LOSSES)
    model, optimizer, scheduler = make()
    trained(model, optimizer, scheduler, LOSSES[:cut])
    file = io.BytesIO()
    parts = {"m": model, "o": optimizer, "s": scheduler}
    torch.save({name: part.state_dict() for name, part in parts.items()}, file)
    file.seek(0)
    states = torch.load(file, weights_only=True)
    model, optimizer, scheduler = make()
    parts = {"m": model, "o": optimizer, "s": scheduler}
    for name in ("m", *order):
        parts[name].load_state_dict(states[name])
    rest = trained(model, optimizer, scheduler, LOSSES[cut:])
    assert all(map(same, rest, expected[cut:]))


def test_it_equals_a_loop_by_hand():
    model, optimizer, scheduler = make()
    found = trained(model, optimizer, scheduler, LOSSES)
    peer = make()[0]
    names = scheduler.group_names
    free = torch.optim.AdamW([{"params": [p], "lr": 0.0} for p in peer.parameters()])
    best, waited, fired, halved, kept = float("inf"), 0, 0, 0, None
    group_of = {id(t): i for i, g in enumerate(optimizer.param_groups) for t in g["params"]}
    places = [group_of[id(p)] for p in model.parameters()]
    for step, loss in enumerate(LOSSES):
        # Where the rate is 0 a level is frozen: it has no state yet.
        rates = found[step - 1][0] if step else make()[2].get_last_lr()
        for group, place in zip(free.param_groups, places, strict=True):
            group["lr"] = rates[place]
        free.zero_grad()
        peer(X).square().mean().backward()
        for group in free.param_groups:
            if group["lr"] == 0:
                group["params"][0].grad = None
        free.step()
        improved = loss < best
        halved += not improved
        waited = 0 if improved else waited + 1
        if improved:
            best, kept = loss, copy.deepcopy(peer.state_dict())
        if waited == 2:
            fired, waited = fired + 1, 0
            peer.load_state_dict(kept)
        assert all(map(torch.equal, found[step][1], peer.state_dict().values()))
        thawed = sum(rate > 0 for rate in found[step][0])
        assert found[step][0][names.index("2.bias")] == pytest.approx(
            0.1 * cosine(100)(step + 1) * 0.5**halved
        )
        assert thawed == min(2 + fired, len(names))
    assert fired == 2


def test_what_happened_is_in_the_record_and_in_the_plan(tmp_path: Path):
    model, optimizer, scheduler = make()
    with Recorder(tmp_path, scheduler) as recorder:
        for loss in LOSSES[:4]:
            update(model, optimizer)
            scheduler.step()
            recorder.log(loss=loss)
            scheduler.report({"val_loss": loss}, model=model)
    events = History.load(tmp_path).events
    assert [step for step, _ in events] == [3, 4, 4]
    assert events[0][1].endswith("fired: val_loss is no better than 0.9")
    rates = dict(zip(scheduler.group_names, scheduler.get_last_lr(), strict=True))
    shown = explain(model, schedule=scheduler).to_dict()
    assert shown["rate @ 4"][shown["parameter"].index("2.bias")] == pytest.approx(rates["2.bias"])


def test_what_happened_before_a_resume_is_in_the_record_once(tmp_path: Path):
    saved = {}
    for begun in (False, True):
        model, optimizer, scheduler = make()
        with Recorder(tmp_path, scheduler) as recorder:
            if begun:  # the state is loaded when the record is already open
                scheduler.load_state_dict(saved)
                recorder.resume(4)
            for loss in LOSSES[4 * begun : 4 + 4 * begun]:
                update(model, optimizer)
                scheduler.step()
                recorder.log(loss=loss)
                scheduler.report({"val_loss": loss}, model=model)
            saved = copy.deepcopy(scheduler.state_dict())
    steps = [step for step, _ in History.load(tmp_path).events]
    assert steps == [3, 4, 4, 6, 7, 7, 8]


@pytest.mark.parametrize("several", [False, True])
def test_a_state_that_fails_in_the_middle_changes_nothing(several):
    when = plateau("loss", patience=1)
    adamws = [torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=0.1) for _ in range(2)]
    optimizers = adamws if several else adamws[0]
    scheduler = ScheduleLR(optimizers, cosine(10), betas=on_plateau(when, [0.9, 1.0]))
    state = copy.deepcopy(scheduler.state_dict())
    state["last_epoch"], state["decisions"][0]["state"] = 5, [0.5, 0, 0, 1]
    scheduler.step()
    before = str(scheduler.state_dict()), str([each.state_dict() for each in adamws])
    with pytest.raises(ScheduleError, match="must be below 1"):
        scheduler.load_state_dict(state)
    assert before == (str(scheduler.state_dict()), str([each.state_dict() for each in adamws]))
    for bad in (7, [{"when": 3}], [{"weights": {}}], [{"when": {}, "weights": {}}]):
        with pytest.raises(ConfigError):
            scheduler.load_state_dict(
                scheduler.state_dict() | {"last_epoch": 5} | {"best_weights": bad}
            )
    assert before == (str(scheduler.state_dict()), str([each.state_dict() for each in adamws]))


def test_bad_reports_change_nothing():
    model, _, scheduler = make()
    before = str(scheduler.state_dict())
    for report, given, message in (
        ({"val_loss": 1.0}, None, "must have the model"),
        ({"loss": 1.0}, model, "must have 'val_loss'"),
        ({"val_loss": "low"}, model, "must be a number"),
    ):
        with pytest.raises(ScheduleError, match=message):
            scheduler.report(report, given)
    assert str(scheduler.state_dict()) == before
    with pytest.raises(ScheduleError, match="Nothing here is decided"):
        ScheduleLR(torch.optim.SGD(model.parameters(), lr=0.1), cosine(9)).report(1.0)


def test_several_optimizers_decide_together():
    one, two = (torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=lr) for lr in (1.0, 2.0))
    scheduler = ScheduleLR([one, two], reduce_on_plateau("loss", 0.5, 1))
    for loss in (torch.tensor(1.0), torch.tensor(1.0)):
        scheduler.report(loss)
    assert scheduler.get_last_lr() == [0.5, 1.0]


def test_best_weights_are_those_of_their_plateau_in_whatever_order_they_were_made():
    first, second = (plateau(m, patience=1, restore_best=True) for m in ("one", "two"))
    model = nn.Linear(1, 1, bias=False)

    def made(order):
        groups = [{"params": [model.weight]}, {"params": [nn.Parameter(torch.zeros(1))]}]
        return ScheduleLR(
            torch.optim.SGD(groups, lr=0.1), [on_plateau(when, [1.0, 0.5]) for when in order]
        )

    def set_to(value):
        with torch.no_grad():
            model.weight.fill_(value)

    saved = made([first, second])
    for metric, value in (("one", 1.0), ("two", 2.0)):
        set_to(value)
        saved.report({metric: 0.5}, model)
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    for metric, value in (("one", 1.0), ("two", 2.0)):
        file.seek(0)
        other = made([second, first])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other.load_state_dict(torch.load(file, weights_only=True))
        set_to(9.0)
        (event,) = other.report({metric: 0.6}, model)
        assert event.fired
        assert model.weight.item() == value
