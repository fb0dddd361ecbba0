"""load_optimizer_state: moments go by name, and never to another weight."""

import copy
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

from layerwise import cosine, gradual_unfreezing, layer_decay, linear
from layerwise.errors import OptimizerError
from layerwise.torch import ScheduleLR, load_optimizer_state, param_groups
from tests._support.torch.networks import bits, state_bits, through_a_file, update

WIDTH = 4


class Stack(torch.nn.Module):
    """Layers of one shape, so that nothing but a name tells them apart."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = torch.nn.Linear(6, WIDTH)
        for name in ("stem", "body", "neck"):
            self.add_module(name, torch.nn.Linear(WIDTH, WIDTH))
        self.head = torch.nn.Linear(WIDTH, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.neck(self.body(self.stem(self.first(x)))))


def shuffled(model: Any) -> list[Any]:
    return sorted(model.named_parameters(), key=lambda pair: pair[0][::-1])


SAVED: dict[str, Any] = {
    "plain": lambda model: model.parameters(),
    "of one group": lambda model: [{"params": list(model.parameters()), "lr": 0.1}],
    "other rules": lambda model: param_groups(model, {"neck": 0.5, "head": 2}, lr=0.1),
    "a strategy": lambda model: param_groups(model, layer_decay(0.5), lr=0.1),
    "PyTorch's names": shuffled,
    "PyTorch's names in groups": lambda model: [
        {"params": shuffled(model)[4:]},
        {"params": shuffled(model)[:4]},
    ],
}
FORMS: dict[str, Any] = {
    "a file": lambda model, optimizer: through_a_file(optimizer.state_dict()),
    "memory": lambda model, optimizer: optimizer.state_dict(),
    "nested": get_optimizer_state_dict,
    "flattened": lambda model, optimizer: get_optimizer_state_dict(
        model, optimizer, options=StateDictOptions(flatten_optimizer_state_dict=True)
    ),
}


def trained(groups: Any, kind: Any = torch.optim.Adam) -> tuple[Any, Any]:
    model = Stack()
    optimizer = kind(groups(model), lr=0.01)
    for step in range(3):
        update(model, optimizer, step)
    return model, optimizer


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rules", [{"body": 0.1, "stem": 0.2}, gradual_unfreezing(every=2)])
def test_each_weight_gets_its_own(saved: str, form: str, rules: Any) -> None:
    model, optimizer = trained(SAVED[saved])
    state = copy.deepcopy(FORMS[form](model, optimizer))
    again = Stack()
    other = torch.optim.Adam(param_groups(again, rules, lr=1e-3))
    before = [{k: v for k, v in group.items() if k != "params"} for group in other.param_groups]
    assert load_optimizer_state(again, other, state) == ()
    assert state_bits(other, again.parameters()) == state_bits(optimizer, model.parameters())
    after = [{k: v for k, v in group.items() if k != "params"} for group in other.param_groups]
    assert after == before


@pytest.mark.parametrize("wrap", ["nothing", "compile", "parallel"])
def test_a_wrapped_model(wrap: str) -> None:
    model, optimizer = trained(SAVED["plain"])
    again: Any = Stack()
    wrapped = again
    if wrap == "compile":
        wrapped = torch.compile(again, backend="eager")
    elif wrap == "parallel":
        wrapped = torch.nn.Module()
        wrapped.add_module("module", again)
    other = torch.optim.Adam(param_groups(wrapped, {"body": 0.1}, lr=1e-3))
    load_optimizer_state(wrapped, other, optimizer.state_dict())
    assert state_bits(other, again.parameters()) == state_bits(optimizer, model.parameters())
    back, plain = Stack(), None
    plain = torch.optim.Adam(back.parameters())
    load_optimizer_state(back, plain, other.state_dict())
    assert state_bits(plain, back.parameters()) == state_bits(optimizer, model.parameters())


def test_a_probe_of_the_head_and_then_all_of_it() -> None:
    model, optimizer = trained(lambda model: param_groups(model.head, lr=0.1))
    again = Stack()
    other = torch.optim.Adam(param_groups(again, layer_decay(0.5), lr=1e-3))
    state = optimizer.state_dict()
    with pytest.raises(OptimizerError, match="no parameters called 'weight', 'bias'"):
        load_optimizer_state(again, other, state)
    assert not other.state
    fresh = load_optimizer_state(again, other, state, names=["head.weight", "head.bias"])
    assert fresh == tuple(name for name, _ in again.named_parameters() if "head" not in name)
    assert state_bits(other, again.head.parameters()) == state_bits(
        optimizer, model.head.parameters()
    )


def test_only_those_that_train() -> None:
    """A plain optimizer of the parameters that need a gradient, frozen before or since."""
    model = Stack()
    model.first.requires_grad_(False)
    some = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(some)
    update(model, optimizer, 0)
    other = torch.optim.Adam(param_groups(model, {"neck": 0.1}, lr=1e-3))
    assert load_optimizer_state(model, other, optimizer.state_dict()) == ()
    assert state_bits(other, some) == state_bits(optimizer, some)


def test_a_head_that_is_gone() -> None:
    model, optimizer = trained(SAVED["other rules"])
    del model.head
    other = torch.optim.Adam(param_groups(model, lr=1e-3))
    with pytest.raises(OptimizerError, match=r"'head.weight', 'head.bias'.*strict=False"):
        load_optimizer_state(model, other, optimizer.state_dict())
    assert load_optimizer_state(model, other, optimizer.state_dict(), strict=False) == ()
    assert state_bits(other, model.parameters()) == state_bits(optimizer, model.parameters())


def test_what_tells_nothing_is_an_error() -> None:
    model, optimizer = trained(
        lambda model: [{"params": model.head.parameters()}, {"params": model.body.parameters()}]
    )
    again = Stack()
    other = torch.optim.Adam(param_groups(again, {"body": 0.1}, lr=1e-3))
    state = optimizer.state_dict()
    with pytest.raises(OptimizerError, match=r"2 groups with 4 parameters .*names=\[...\]"):
        load_optimizer_state(again, other, state)
    with pytest.raises(OptimizerError, match="4 parameters, and names= has 1"):
        load_optimizer_state(again, other, state, names=["head.weight"])
    with pytest.raises(OptimizerError, match="no state of an optimizer"):
        load_optimizer_state(again, other, {"model": again.state_dict()})
    order = ["body.weight", "body.bias", "head.weight", "head.bias"]
    with pytest.raises(OptimizerError, match=r"'exp_avg' of shape \(3, 4\) for 'body.weight'"):
        load_optimizer_state(again, other, state, names=order)
    assert not other.state
    load_optimizer_state(again, other, state, names=order[2:] + order[:2])
    assert state_bits(other, [again.head.weight]) == state_bits(optimizer, [model.head.weight])


@pytest.mark.parametrize("kind", ["Adafactor", "Adagrad", "SGD", "RMSprop", "Adamax", "NAdam"])
def test_other_optimizers(kind: str) -> None:
    make = getattr(torch.optim, kind)
    model, optimizer = trained(SAVED["plain"], make)
    again = Stack()
    other = make(param_groups(again, {"body": 0.1}, lr=1e-3))
    load_optimizer_state(again, other, optimizer.state_dict())
    assert state_bits(other, again.parameters()) == state_bits(optimizer, model.parameters())


def test_resuming_at_another_rate_and_under_other_rules() -> None:
    """The oracle is a run whose groups are written by hand in the middle."""
    runs = []
    for by_hand in (True, False):
        model = Stack()
        optimizer = torch.optim.AdamW(param_groups(model, {"body": 0.5}, lr=0.1))
        scheduler = ScheduleLR(optimizer, cosine(20))
        for step in range(6):
            update(model, optimizer, step)
            scheduler.step()
        if by_hand:
            default, body = optimizer.param_groups
            default["initial_lr"], body["initial_lr"] = 0.01, 0.01 * 0.25
            following = ScheduleLR(optimizer, linear(30), last_epoch=5)
        else:
            saved = through_a_file((optimizer.state_dict(), scheduler.state_dict()))
            optimizer = torch.optim.AdamW(param_groups(model, {"body": 0.25}, lr=0.01))
            load_optimizer_state(model, optimizer, saved[0])
            following = ScheduleLR(optimizer, linear(30), last_epoch=saved[1]["last_epoch"] - 1)
        for step in range(6, 10):
            update(model, optimizer, step)
            following.step()
        runs.append((bits(model.parameters()), following.get_last_lr()))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("fresh", [False, True])
def test_with_a_scheduler_attached(fresh: bool) -> None:
    model, optimizer = trained(SAVED["a strategy"])
    again = Stack()
    other = torch.optim.Adam(param_groups(again, gradual_unfreezing(every=2), lr=1e-3))
    scheduler = ScheduleLR(other, cosine(20), last_epoch=-1 if fresh else 4)
    rates = scheduler.get_last_lr()
    load_optimizer_state(again, other, optimizer.state_dict())
    assert scheduler.get_last_lr() == rates
    assert state_bits(other, again.parameters()) == state_bits(optimizer, model.parameters())
    update(again, other, 0)


def test_what_the_optimizer_had_before_is_gone() -> None:
    """It has trained already, with layers frozen that have no state yet."""
    model, optimizer = trained(SAVED["plain"])
    again = Stack()
    other = torch.optim.Adam(param_groups(again, gradual_unfreezing(every=5), lr=1e-3))
    scheduler = ScheduleLR(other, cosine(20))
    for step in range(2):
        update(again, other, step)
        scheduler.step()
    assert len(other.state) == 2
    load_optimizer_state(again, other, optimizer.state_dict())
    assert state_bits(other, again.parameters()) == state_bits(optimizer, model.parameters())
