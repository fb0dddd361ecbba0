"""find_rates on PyTorch: each band at its own rate, what is kept, and nothing left behind."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from layerwise import layer_decay
from layerwise.errors import FinderError, MultiplierError
from layerwise.torch import find_lr, find_rates, param_groups
from layerwise.torch._finder.bands_trainer import BandOf, BandsTrainer, groups_by_band
from layerwise.torch._finder.processes import Processes
from layerwise.torch._finder.trainer import TorchTrainer
from layerwise.torch._finder.update import Update
from tests._support.torch.finding import (
    OPTIMIZERS,
    fingerprint,
    loss_function,
    make_loader,
    make_searched,
    seed_all,
)
from tests._support.torch.networks import bits, make_batch, make_network

QUIET: dict[str, Any] = {"budget": 120, "progress": False}


def make_data(number: int = 12) -> list[Any]:
    return [make_batch(step) for step in range(number)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bands_train_as_one_optimizer_for_each_would(name: str) -> None:
    together, apart = make_network(), make_network()
    optimizer = OPTIMIZERS[name](together.parameters())
    groups = [list(layer.parameters()) for layer in apart.children()]
    single = [OPTIMIZERS[name](group) for group in groups]
    rates = [0.01, 0.1][: len(groups)]
    band_of = {
        id(tensor): BandOf(band)
        for band, layer in enumerate(together.children())
        for tensor in layer.parameters()
    }
    with groups_by_band(optimizer, band_of) as bands:
        assert [b.band for b in bands] == list(range(len(groups)))
        for x, y in make_data(5):
            for group, b in zip(optimizer.param_groups, bands, strict=True):
                assert b.band is not None
                _set(group, rates[b.band])
            for one, rate in zip(single, rates, strict=True):
                _set(one.param_groups[0], rate)
            for model, steps in ((together, [optimizer]), (apart, single)):
                model.zero_grad()
                loss_function(model(x), y).backward()
                for one in steps:
                    one.step()
    assert bits(together.parameters()) == bits(apart.parameters())
    assert len(optimizer.param_groups) == 1


def _set(group: dict[str, Any], rate: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


@pytest.mark.parametrize("steps", [0, 3], ids=["new", "trained"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_everything_is_as_it_was(name: str, steps: int) -> None:
    model, optimizer = make_searched(name, steps)
    model.backbone[1].eval()
    loader = make_loader(generator=torch.Generator().manual_seed(3))
    before = fingerprint(model, optimizer, loader.generator)
    found = find_rates(model, optimizer, loss_function, loader, **QUIET)
    assert fingerprint(model, optimizer, loader.generator) == before
    assert 0 < found.updates <= 120


class BoomError(Exception):
    """What a loss raises in a test."""


@pytest.mark.parametrize("after", [3, 40, 90])
@pytest.mark.parametrize("error", [BoomError, KeyboardInterrupt])
def test_whatever_ends_it_leaves_everything_as_it_was(
    after: int, error: type[BaseException]
) -> None:
    model, optimizer = make_searched(steps=2)
    before = fingerprint(model, optimizer)
    calls = 0

    def loss(outputs: Any, targets: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == after:
            raise error
        return loss_function(outputs, targets)

    if error is KeyboardInterrupt and after == 90:
        found = find_rates(model, optimizer, loss, make_loader(), **QUIET)
        assert found.ended == "stopped by the user"
        assert found.probes
    else:
        with pytest.raises(error):
            find_rates(model, optimizer, loss, make_loader(), **QUIET)
    assert fingerprint(model, optimizer) == before


def test_the_same_seeds_and_data_give_the_same_answer() -> None:
    found = []
    for _ in range(2):
        model, optimizer = make_searched()
        seed_all()
        found.append(find_rates(model, optimizer, loss_function, make_loader(), **QUIET))
    assert found[0] == found[1]


def test_held_out_losses_are_those_of_evaluation_mode() -> None:
    model, optimizer = make_searched("SGD")
    modes: list[tuple[bool, bool]] = []

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        modes.append((model.training, outputs.requires_grad))
        return loss_function(outputs, targets)

    found = find_rates(model, optimizer, loss, make_loader(), **QUIET)
    assert set(modes) == {(True, True), (False, False)}
    x, y = make_batch(0, samples=64)
    held_out = [(x[:16], y[:16])]
    again = find_rates(model, optimizer, loss_function, make_loader(), held_out=held_out, **QUIET)
    model.eval()
    with torch.no_grad():
        untrained = float(loss_function(model(x[:16]), y[:16]))
    assert again.untrained == pytest.approx((untrained,) * 4)
    assert found.untrained != again.untrained


def test_rules_are_kept_and_a_frozen_layer_does_not_move() -> None:
    model, optimizer = make_searched("SGD")
    seen: list[Any] = []

    def loss(outputs: Any, targets: Any) -> Any:
        seen.append(model.backbone[0].weight.detach().clone())
        return loss_function(outputs, targets)

    rules = {"backbone.0": 0.0}
    found = find_rates(model, optimizer, loss, make_loader(), rules=rules, **QUIET)
    assert all(torch.equal(weight, seen[0]) for weight in seen)
    assert found.rules["backbone.0"] == 0.0
    names = [name for band in found.bands for name in band.parameters]
    assert names == ["backbone.1.weight", "backbone.1.bias", "head.weight", "head.bias"]
    groups = param_groups(model, found.rules, lr=found.learning_rate or 1.0)
    frozen = {row.parameter.name for row in groups.plan.rows if row.frozen}
    assert {"backbone.0.weight", "backbone.0.bias"} <= frozen


def test_a_rule_has_its_share_of_the_base_rate() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first, *_ = model.children()
    rates: set[float] = set()

    def step(batch: Any) -> Any:
        groups = {id(g["params"][0]): g["lr"] for g in optimizer.param_groups}
        first_rate = groups[id(next(iter(first.parameters())))]
        if first_rate:
            rates.add(round(first_rate / max(groups.values()), 6))
        optimizer.zero_grad()
        loss = loss_function(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    name = next(iter(dict(model.named_children())))
    find_rates(model, optimizer, None, make_data(), step=step, rules={name: 0.25}, **QUIET)
    assert rates == {0.25}


def test_given_layers_are_the_bands() -> None:
    model, optimizer = make_searched("SGD")
    layers = [["backbone.0", "backbone.1"], ["head"]]
    found = find_rates(model, optimizer, loss_function, make_loader(), layers=layers, **QUIET)
    assert [band.name for band in found.bands] == ["backbone", "head"]
    trained = [name for name, tensor in model.named_parameters() if tensor.requires_grad]
    pooled = find_rates(model, optimizer, loss_function, make_loader(), most_bands=1, **QUIET)
    assert [list(band.parameters) for band in pooled.bands] == [trained]


@pytest.mark.parametrize("kind", ["mapping", "one tensor", "accumulated", "step", "held out"])
def test_other_ways_to_give_data(kind: str) -> None:
    model = make_network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = fingerprint(model, optimizer)
    data: Any = make_data()
    options: dict[str, Any] = dict(QUIET)
    loss: Any = loss_function
    network: Any = model
    if kind == "mapping":
        network = Keyword(model)
        data = [{"x": x, "labels": y} for x, y in data]
        loss = lambda outputs, batch: loss_function(outputs, batch["labels"])  # noqa: E731
    if kind == "one tensor":
        data = [x for x, _ in data]
        loss = lambda outputs, x: (outputs**2).mean()  # noqa: E731
    if kind == "accumulated":
        options["accumulate"] = 2
    if kind == "held out":
        options["held_out"] = data[:2]
        data = iter(data[2:])
    if kind == "step":
        loss, options["step"] = None, make_step(model, optimizer)
    found = find_rates(network, optimizer, loss, data, **options)
    assert fingerprint(model, optimizer) == before
    assert found.probes


@pytest.mark.parametrize("persistent", [False, True])
def test_held_out_batches_of_workers_are_copied_and_the_loader_keeps_none(persistent: bool) -> None:
    model, optimizer = make_searched()
    held_out = make_loader(num_workers=1, persistent_workers=persistent)
    plain = make_step(model, optimizer)

    def step(batch: Any) -> Any:
        assert not any(tensor.is_shared() for tensor in batch)
        return plain(batch)

    find_rates(model, optimizer, loader=make_data(), held_out=held_out, step=step, **QUIET)
    assert held_out._iterator is None


@pytest.mark.parametrize("held_out", [False, True])
def test_it_says_how_the_first_batch_was_called(held_out: bool) -> None:
    model, optimizer = make_searched()
    data = [(x[:, :1], y) for x, y in make_data()]
    options: dict[str, Any] = QUIET | ({"held_out": data[:2]} if held_out else {})
    message = r"(?s)can't take the first batch.*model\(batch\[0\]\) and loss.*step=train_step"
    scored = r"can't take a held-out batch in evaluation mode, .*step=train_step"
    with pytest.raises(FinderError, match=f"(?s){scored}"):
        find_rates(model, optimizer, loss_function, data, **options)
    with pytest.raises(FinderError, match=r"have no loss\. Give loss=, a function"):
        find_rates(model, optimizer, loader=make_data(), **options | {"held_out": None})
    update = Update(model, optimizer, loss_function, device=torch.device("cpu"))
    with pytest.raises(FinderError, match=message):
        update([data[0]])


class Keyword(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, labels: Tensor) -> Any:
        return self.inner(x)


def make_step(model: nn.Module, optimizer: Any) -> Callable[[Any], Any]:
    def step(batch: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    return step


def make_trainer(
    model: nn.Module, optimizer: Any, members: Any, bands: Any, on_host: bool = False
) -> BandsTrainer:
    place = torch.device("cpu")
    update = Update(model, optimizer, loss_function, device=place)
    return BandsTrainer(
        TorchTrainer(
            model,
            optimizer,
            update,
            factors=[1.0, 1.0],
            modules=[model],
            stateful=[],
            loaders=([],),
            scaler=None,
            ranks=Processes(model, place),
            on_host=on_host,
        ),
        bands,
        members=members,
        model=model,
        loss=update.loss_without_update,
        gathers=True,
        mean=float,
        on_host=on_host,
    )


class Copies(TorchDispatchMode):
    """Counts the copies of tensors that are made while it is on, by where they are made."""

    def __init__(self) -> None:
        super().__init__()
        self.here = self.on_host = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.here += func is torch.ops.aten.clone.default
        self.on_host += func is torch.ops.aten._to_copy.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("on_host", [False, True])
def test_where_bands_begin_is_copied_once_and_where_it_is_wanted(on_host: bool) -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    members = [list(layer.parameters()) for layer in model.children()]
    band_of = {id(t): BandOf(n) for n, band in enumerate(members) for t in band}
    with groups_by_band(optimizer, band_of) as bands:
        trainer = make_trainer(model, optimizer, members, bands, on_host)
        with Copies() as taken:
            state = trainer.snapshot()
        assert (taken.on_host if on_host else taken.here) >= 2 * len(list(model.parameters()))
        assert (taken.here if on_host else taken.on_host) == 0
        with Copies() as again:
            trainer.restore(state)
            trainer.restore(state)
        assert again.here == again.on_host == 0
        batch = [make_batch(0)]
        with Copies() as plain:
            trainer.score([batch])
        with Copies() as moved:
            trainer.score([batch], [1.0, 2.0])
        assert moved.here - plain.here == len(members[1])


def test_a_band_further_along_its_way_is_scored_there_and_comes_back() -> None:
    model = make_network().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    members = [list(layer.parameters()) for layer in model.children()]
    band_of = {id(t): BandOf(n) for n, band in enumerate(members) for t in band}
    x, y = make_batch(99)
    held_out = (x.double(), y)
    start = [tensor.detach().clone() for tensor in members[0]]
    with groups_by_band(optimizer, band_of) as bands:
        trainer = make_trainer(model, optimizer, members, bands)
        state = trainer.snapshot()
        trainer.restore(state)
        for one in make_data(3):
            trainer.train([(one[0].double(), one[1])], [0.1, 0.05])
        here = bits(model.parameters())
        found = trainer.score([[held_out]], [2.0, 1.0])
        assert bits(model.parameters()) == here
        plain = trainer.score([[held_out]])
        with torch.no_grad():
            for tensor, before in zip(members[0], start, strict=True):
                tensor.copy_(before + 2 * (tensor - before))
            by_hand = float(loss_function(model(held_out[0]), y))
        trainer.restore(state)
    assert found == by_hand != plain
    assert all(torch.equal(t, before) for t, before in zip(members[0], start, strict=True))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rules": layer_decay(0.5)}, FinderError, r"^rules=layer_decay"),
        ({"rules": {"": 0.0}}, MultiplierError, r"."),
        ({"rules": {"backbon_": 0.5}}, MultiplierError, r"backbon_"),
        ({"layers": [["backbone", "head"], ["head"]]}, MultiplierError, r"'head' in two levels"),
        ({"budget": 10}, FinderError, r"^A budget of 10 updates is too small for one probe"),
        ({"held_out": []}, FinderError, r"^held_out has no batch"),
        ({"share": 2}, FinderError, r"^share must be below 1"),
        (
            {"rules": {"backbone": 0.0, "head": 0.0}},
            FinderError,
            r"^There is nothing to search for",
        ),
    ],
)
def test_bad_input_changes_nothing(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    model, optimizer = make_searched("SGD")
    before = fingerprint(model, optimizer)
    with pytest.raises(error, match=message):
        find_rates(model, optimizer, loss_function, make_loader(), **QUIET | options)
    assert fingerprint(model, optimizer) == before


@pytest.mark.parametrize("options", [{"accumulate": 2}, {"autocast": torch.bfloat16}])
def test_what_a_step_does_itself_is_refused(options: dict[str, Any]) -> None:
    model, optimizer = make_searched()
    step = make_step(model, optimizer)
    with pytest.raises(FinderError, match=r"^accumulate= and autocast= are for a loss"):
        find_rates(model, optimizer, loader=make_data(), step=step, **options, **QUIET)


def test_optimizers_that_cannot_have_several_rates() -> None:
    model = make_network()
    with pytest.raises(FinderError, match=r"^LBFGS has one group and one rate"):
        find_rates(model, torch.optim.LBFGS(model.parameters()), loss_function, make_data())
    several: Any = [torch.optim.SGD(layer.parameters()) for layer in model.children()]
    with pytest.raises(FinderError, match=r"^list is not .* takes one optimizer\. With several"):
        find_rates(model, several, loss_function, make_data(), **QUIET)
    assert find_rates(model, several[0], loss_function, make_data(), **QUIET).probes
    groups = param_groups(model, layer_decay(0.5), lr=0.1)
    with pytest.raises(FinderError, match=r"rates of its own for parts of the model"):
        find_rates(model, torch.optim.SGD(groups), loss_function, make_data(), **QUIET)


class _Sharded(torch.optim.SGD):
    """Like ZeroRedundancyOptimizer: another optimizer has this process' part of each group."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, lr=0.1)
        groups = [{**group, "params": [*group["params"]]} for group in self.param_groups]
        self.optim = torch.optim.Adam(groups)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group, own in zip(self.param_groups, self.optim.param_groups, strict=True):
            own["lr"] = group["lr"]
        self.optim.step(closure)


def test_an_optimizer_with_another_one_whose_groups_stay_whole() -> None:
    model = make_network()
    with pytest.raises(FinderError, match=r"^_Sharded makes its updates by Adam, with"):
        find_rates(model, _Sharded(model.parameters()), loss_function, make_data(), **QUIET)


def test_one_class_and_nothing_to_hold_out() -> None:
    model, optimizer = make_searched("SGD")
    x, y = make_batch(0, samples=64)
    with pytest.raises(FinderError, match="examples of one class only, 1"):
        find_rates(model, optimizer, loss_function, [(x, torch.ones_like(y))], **QUIET)
    with pytest.raises(FinderError, match=r"nothing can be held out"):
        find_rates(model, optimizer, loss_function, [(x[:1], y[:1])], **QUIET)
    for tensor in model.parameters():
        tensor.requires_grad_(False)
    with pytest.raises(FinderError, match=r"^There is nothing to search for"):
        find_rates(model, optimizer, loss_function, make_loader(), **QUIET)


def test_what_is_found_can_be_saved() -> None:
    model, optimizer = make_searched()
    found = find_rates(model, optimizer, loss_function, make_loader(), **QUIET)
    rate = find_lr(model, optimizer, loss_function, make_loader(), progress=False)
    assert json.loads(json.dumps(found.rules)) == found.rules
    for finding in (found, rate):
        for copied in (pickle.loads(pickle.dumps(finding)), copy.deepcopy(finding)):
            assert copied.to_config() == finding.to_config()
    for rules in (found.rules, copy.deepcopy(found.rules), pickle.loads(pickle.dumps(found.rules))):
        with pytest.raises(TypeError, match="read-only"):
            rules["head"] = 1.0  # type: ignore[index]
    assert found.rate_or(1e-3) == found.learning_rate
