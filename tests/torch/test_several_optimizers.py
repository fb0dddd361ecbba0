"""Several optimizers as one: each as its own with PyTorch's ``LambdaLR``, to the last bit."""

import copy
import io
import itertools
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim.lr_scheduler import LambdaLR

from layerwise import constant, cosine, layer_decay, piecewise_constant, warmup
from layerwise.errors import FinderError, MultiplierError, OptimizerError, ScheduleError
from layerwise.recorder import History
from layerwise.torch import Recorder, ScheduleLR, explain, find_lr, hidden_matrices, param_groups

SCHEDULE = warmup(3) >> cosine(9)
X = torch.linspace(-1, 1, 32).reshape(8, 4)


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 2))


def make(rules=None, model=None):
    """Muon for the hidden matrices, and AdamW for the rest."""
    model = model or make_model()
    hidden = hidden_matrices(model)
    muon = torch.optim.Muon(param_groups(model, rules, lr=0.02, only=hidden))
    rest = param_groups(model, rules, lr=1e-2, only=lambda name, _: name not in hidden)
    return model, muon, torch.optim.AdamW(rest)


def train(model, optimizers, schedulers, steps):
    for _ in range(steps):
        for each in optimizers:
            each.zero_grad()
        model(X).square().mean().backward()
        for each in (*optimizers, *schedulers):
            each.step()
    return [p.detach().clone() for p in model.parameters()]


def same(one, other):
    return all(map(torch.equal, one, other))


def test_training_equals_one_scheduler_of_pytorch_for_each():
    model, *optimizers = make(layer_decay(0.5))
    peer, *others = make(layer_decay(0.5))
    found = train(model, optimizers, [ScheduleLR(optimizers, SCHEDULE)], 14)
    assert same(found, train(peer, others, [LambdaLR(each, SCHEDULE) for each in others], 14))
    assert not same(found, list(make_model().parameters()))


def test_depth_is_that_of_the_whole_model():
    model, muon, adamw = make(layer_decay(0.5))
    rates = explain(model, optimizer=[muon, adamw]).to_dict()
    expected = [0.01 / 8, 0.01 / 8, 0.02 / 4, 0.01 / 4, 0.02 / 2, 0.01 / 2, 0.01, 0.01]
    assert rates["rate @ 0"] == pytest.approx(expected, rel=1e-12)
    scheduled = explain(model, schedule=ScheduleLR([muon, adamw], SCHEDULE), steps=[7])
    at_7 = [rate * SCHEDULE(7) for rate in expected]
    assert scheduled.to_dict()["rate @ 7"] == pytest.approx(at_7, rel=1e-12)


def test_names_say_which_optimizer():
    weights = [nn.Parameter(torch.ones(2)) for _ in range(4)]
    one, two = torch.optim.SGD(weights[:1], lr=1.0), torch.optim.SGD(weights[1:2], lr=2.0)
    three = torch.optim.Adam([{"params": weights[2:3]}, {"params": weights[3:]}], lr=3.0)
    several = ScheduleLR([one, two, three], {"SGD (2)": constant(0.5), "Adam": constant(0.1)})
    assert several.group_names == ["SGD", "SGD (2)", "Adam/group 0", "Adam/group 1"]
    assert several.get_last_lr() == [1.0, 1.0, pytest.approx(0.3), pytest.approx(0.3)]
    named = ScheduleLR({"d": two, "g": three}, {"g/group 1": constant(2.0)})
    assert named.group_names == ["d", "g/group 0", "g/group 1"]
    assert ScheduleLR([two]).group_names == ["group 0"]
    with pytest.raises(ScheduleError, match="No group is called 'Adam'"):
        ScheduleLR({"d": two, "g": three}, {"Adam": SCHEDULE})


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_one_state_is_resumed_in_any_order(order):
    rules = {"0": piecewise_constant([6], [0.0, 1.0])}  # frozen, and thawed after the cut
    model, *optimizers = make(rules)
    scheduler = ScheduleLR(optimizers, SCHEDULE, betas=cosine(9, 0.9, 0.5))
    train(model, optimizers, [scheduler], 4)
    file = io.BytesIO()
    parts = (*optimizers, scheduler)
    torch.save([model.state_dict(), *(part.state_dict() for part in parts)], file)
    expected = train(model, optimizers, [scheduler], 6)
    file.seek(0)
    weights, *states = torch.load(file, weights_only=True)
    again, *others = make(rules)
    again.load_state_dict(weights)
    resumed = ScheduleLR(others, SCHEDULE, betas=cosine(9, 0.9, 0.5))
    for place in order:
        (*others, resumed)[place].load_state_dict(states[place])
    assert same(train(again, others, [resumed], 6), expected)


def test_a_step_that_fails_changes_no_optimizer():
    _, muon, adamw = make()
    bad = {"AdamW": lambda step: 1.0 if step < 1 else -1.0, "Muon": cosine(9)}
    scheduler = ScheduleLR([muon, adamw], bad)
    before = copy.deepcopy([muon.param_groups[0]["lr"], adamw.param_groups[0]["lr"]])
    with pytest.raises(ScheduleError, match="'AdamW/"):
        scheduler.step()
    assert [muon.param_groups[0]["lr"], adamw.param_groups[0]["lr"]] == before
    assert scheduler.last_epoch == 0


def test_momentum_and_betas_go_to_those_that_have_them():
    _, muon, adamw = make()
    ScheduleLR([muon, adamw], momentum=constant(0.5), betas=constant(0.6))
    assert muon.param_groups[0]["momentum"] == 0.5
    assert adamw.param_groups[0]["betas"] == (0.6, 0.999)
    with pytest.raises(OptimizerError, match="Muon has no betas"):
        ScheduleLR([muon, adamw], betas={"Muon": constant(0.5)})


@pytest.mark.parametrize("given", [[], {}, [1], {"a": 1}, "sgd", {3: None}, None])
def test_what_is_no_optimizer(given):
    with pytest.raises(OptimizerError):
        ScheduleLR(given)


def test_one_parameter_has_one_rate():
    model = make_model()
    both = [torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(2)]
    with pytest.raises(OptimizerError, match="One parameter is in two groups"):
        explain(model, optimizer=both)
    with pytest.raises(OptimizerError, match="given twice"):
        ScheduleLR([both[0], both[0]])


def batches():
    return [(X + shift, (X + shift)[:, :2] * 2) for shift in (0.0, 0.1, 0.2, 0.3)]


def test_the_search_keeps_ratios_or_holds_a_rate_and_restores_all():
    model, muon, adamw = make(layer_decay(0.5))
    scheduler = ScheduleLR([muon, adamw], SCHEDULE, last_epoch=4)
    train(model, [muon, adamw], [scheduler], 2)
    parts = (model, muon, adamw, scheduler)
    before = copy.deepcopy([part.state_dict() for part in parts])
    kept = list(model.parameters()), scheduler.get_last_lr()
    found = find_lr(model, [muon, adamw], mse_loss, batches(), steps=40, progress=False)
    first = found.group_rates["Muon/2"]
    assert found.suggestion == pytest.approx(2 * first)  # level decay 0.5 below the head
    assert found.group_rates["AdamW/3"] == pytest.approx(first)  # 0.01 where Muon's base is 0.02
    for hold in ([adamw], [adamw, adamw]):
        held = find_lr(
            model, [muon, adamw], mse_loss, batches(), steps=40, progress=False, hold=hold
        )
        assert set(held.group_rates) == {"Muon/1", "Muon/2"}
    assert scheduler.get_last_lr() == kept[1]
    for part, old in zip(parts, before, strict=True):
        assert str(part.state_dict()) == str(old)
    with pytest.raises(FinderError, match="must leave an optimizer"):
        find_lr(model, [muon, adamw], mse_loss, batches(), hold=[muon, adamw])
    with pytest.raises(FinderError, match="not among"):
        find_lr(model, muon, mse_loss, batches(), hold=adamw)


def test_the_record_has_the_rates_of_all(tmp_path: Path):
    model, muon, adamw = make()
    scheduler = ScheduleLR([muon, adamw], SCHEDULE)
    with Recorder(tmp_path, scheduler, model=model, ratios=1) as recorder:
        for _ in range(3):
            before = [p.detach().clone() for p in model.parameters()]
            train(model, [muon, adamw], [scheduler], 1)
            recorder.log(loss=1.0)
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [0, 1, 2]
    for name, base in (("Muon/default", 0.02), ("AdamW/default", 0.01)):
        expected = [base * SCHEDULE(step) for step in range(3)]
        assert batch[f"rates/{name}"] == pytest.approx(expected, rel=1e-8)
    moved = [now - old for now, old in zip(model.parameters(), before, strict=True)]
    size = lambda several: torch.cat([each.flatten() for each in several]).norm()  # noqa: E731
    ratio = size(moved[2:4]) / size(before[2:4])  # a weight of Muon's, and a bias of AdamW's
    assert batch["ratios/1"][-1] == pytest.approx(float(ratio.detach()), rel=1e-4)


def test_only_names_or_a_function():
    model = make_model()
    for only in ("0.weight", 3, ["nothing"], [], lambda name, _: False):
        with pytest.raises(MultiplierError, match="only="):
            param_groups(model, lr=0.1, only=only)


def test_hidden_matrices_of_a_tied_language_model():
    model = nn.ModuleDict({"wte": nn.Embedding(9, 4), "h": nn.Linear(4, 4, bias=False)})
    model["lm_head"] = nn.Linear(4, 9, bias=False)
    model["lm_head"].weight = model["wte"].weight
    assert hidden_matrices(model) == ["h.weight"]
