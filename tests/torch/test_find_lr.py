"""find_lr on PyTorch: the right losses, and nothing left changed."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from layerwise import cosine, piecewise_constant, warmup
from layerwise.errors import FinderError
from layerwise.torch import ScheduleLR, find_lr, param_groups
from tests._support.torch.finding import (
    QUIET,
    Noisy,
    endless,
    fingerprint,
    loss_function,
    make_loader,
    make_noisy,
    seed_all,
    train,
)
from tests._support.torch.networks import bits, make_batch, make_network

# PyTorch's compiler warns about a module of its own when it is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")

OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda params: torch.optim.SGD(params, lr=0.1),
    "momentum": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "AdamW": lambda params: torch.optim.AdamW(params, lr=1e-3, amsgrad=True),
    "fused": lambda params: torch.optim.Adam(params, lr=1e-3, fused=True),
    "tensor rate": lambda params: torch.optim.AdamW(params, lr=torch.tensor(1e-3)),
    "Adagrad": lambda params: torch.optim.Adagrad(params, lr=0.1),
    "NAdam": lambda params: torch.optim.NAdam(params, lr=1e-3),
}


def make(name: str = "AdamW", steps: int = 0) -> tuple[Any, Any]:
    model = make_noisy()
    optimizer = OPTIMIZERS[name](model.parameters())
    if steps:
        train(model, optimizer, list(make_loader())[:steps])
    return model, optimizer


@pytest.mark.parametrize("steps", [0, 3], ids=["new", "trained"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_everything_is_as_it_was(name: str, steps: int) -> None:
    model, optimizer = make(name, steps)
    model.backbone[1].eval()
    generator = torch.Generator().manual_seed(3)
    loader = make_loader(generator=generator)
    before = fingerprint(model, optimizer, generator)
    found = find_lr(model, optimizer, loss_function, loader, steps=12, progress=False)
    assert fingerprint(model, optimizer, generator) == before
    assert len(found.rates) == 12 or found.stopped == "diverged"


def test_probes_leave_everything_as_it_was() -> None:
    model = make_network()
    optimizer = torch.optim.AdamW(model.parameters())
    loader = make_loader()
    before = fingerprint(model, optimizer)
    found = find_lr(model, optimizer, loss_function, loader, steps=60, progress=False)
    assert fingerprint(model, optimizer) == before
    assert found.updates > len(found.rates)
    assert found.suggestion is not None


def test_a_model_in_evaluation_mode_is_searched_in_training_mode() -> None:
    model, optimizer = make("SGD")
    model.eval()
    before = fingerprint(model, optimizer)
    modes: list[bool] = []

    def loss(outputs: Any, targets: Any) -> Any:
        modes.append(model.training and model.backbone[1].training)
        return loss_function(outputs, targets)

    find_lr(model, optimizer, loss, make_loader(), **QUIET)
    assert fingerprint(model, optimizer) == before
    assert set(modes) == {True}


class BoomError(Exception):
    """What a training step raises in a test."""


@pytest.mark.parametrize("what", ["NaN", "few", "raises", "interrupted", "data raises"])
def test_whatever_ends_it_leaves_everything_as_it_was(what: str) -> None:
    model, optimizer = make(steps=2)
    before = fingerprint(model, optimizer)
    calls = 0

    def loss(outputs: Any, targets: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5 and what == "raises":
            raise BoomError
        if calls == 5 and what == "interrupted":
            raise KeyboardInterrupt
        return loss_function(outputs, targets) * (math.nan if what == "NaN" else 1)

    def few() -> Any:
        yield from list(make_loader())[:3]
        if what == "data raises":
            raise BoomError

    wanted = {"raises": BoomError, "interrupted": KeyboardInterrupt, "data raises": BoomError}.get(
        what
    )
    source = few() if what in ("few", "data raises") else make_loader()
    before = fingerprint(model, optimizer)
    if wanted is not None:
        with pytest.raises(wanted):
            find_lr(model, optimizer, loss, source, **QUIET)
    else:
        found = find_lr(model, optimizer, loss, source, **QUIET)
        assert found.stopped == ("diverged" if what == "NaN" else "data ended")
        assert len(found.losses) == 3
        assert found.suggestion is None or what == "few"
    assert fingerprint(model, optimizer) == before
    assert calls >= 3


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_workers": 2},
        {"num_workers": 1, "persistent_workers": True},
        {"generator": 5},
    ],
    ids=str,
)
def test_training_afterwards_is_training_without_it(options: dict[str, Any]) -> None:
    def run(search: bool) -> Any:
        own = dict(options)
        if "generator" in own:
            own["generator"] = torch.Generator().manual_seed(own["generator"])
        loader = make_loader(**own)
        model, optimizer = make()
        seed_all()
        if search:
            found = find_lr(model, optimizer, loss_function, loader, **QUIET)
            assert found.losses != ()
        return train(model, optimizer, loader, epochs=1), bits(model.parameters())

    assert run(search=True) == run(search=False)


def test_two_searches_see_the_same_curve() -> None:
    model, optimizer = make()
    options = {"steps": 15, "progress": False}
    first = find_lr(model, optimizer, loss_function, make_loader(), **options)
    second = find_lr(model, optimizer, loss_function, make_loader(), **options)
    assert first == second
    assert len(set(first.losses)) == len(first.losses)


def test_losses_are_those_of_a_loop_by_hand() -> None:
    model, optimizer = make("momentum")
    seed_all()
    found = find_lr(
        model, optimizer, loss_function, make_loader(), low=1e-3, high=0.5, stop="never", **QUIET
    )
    assert len(found.losses) == 12  # more than an epoch of eight
    seed_all()
    losses = []
    for rate, (x, y) in zip(found.rates, endless(make_loader()), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert found.losses == pytest.approx(losses, rel=1e-6)


# -- rates -----------------------------------------------------------------------------------


def rates_seen(model: Any, optimizer: Any, **options: Any) -> tuple[Any, list[list[float]]]:
    """The rates that each update of a sweep had."""
    seen = []
    hook = optimizer.register_step_pre_hook(
        lambda o, a, k: seen.append([float(g["lr"]) for g in o.param_groups])
    )
    found = find_lr(model, optimizer, loss_function, make_loader(), **QUIET, **options)
    hook.remove()
    return found, seen


def test_groups_keep_their_ratios_to_the_base() -> None:
    model = make_noisy()
    groups = param_groups(model, {"backbone": 0.5, "head": 8.0}, lr=1e-3)
    optimizer = torch.optim.SGD(groups)
    found, seen = rates_seen(model, optimizer)
    assert seen == [pytest.approx([rate * 0.5, rate * 8]) for rate in found.rates]
    assert found.suggestion is not None
    assert found.group_rates == pytest.approx(
        {"backbone": 0.5 * found.suggestion, "head": 8 * found.suggestion}
    )


def test_the_base_of_other_groups() -> None:
    model = make_noisy()
    own: Any = [
        {"params": model.backbone.parameters(), "lr": 0.2},
        {"params": model.head.parameters()},
    ]
    found, _ = rates_seen(model, torch.optim.SGD(own, lr=0.1))
    assert found.group_factors == {"group 0": 2.0, "group 1": 1.0}  # its own lr is the base
    found, _ = rates_seen(model, torch.optim.SGD([own[0] | {"params": list(model.parameters())}]))
    assert found.group_factors == {"group 0": 1.0}  # nobody has its own lr: the highest


def test_a_group_that_is_warmed_up_counts_with_its_initial_rate() -> None:
    model = make_noisy()
    rules = {"backbone": piecewise_constant([4], [0.5, 1.0])}
    optimizer = torch.optim.SGD(param_groups(model, rules, lr=0.1))
    scheduler = ScheduleLR(optimizer, warmup(10) >> cosine(10))
    before = fingerprint(model, optimizer, scheduler)
    found, seen = rates_seen(model, optimizer, scheduler=scheduler)
    assert found.group_factors == {"backbone": 0.5, "default": 1.0}
    assert seen[3] == pytest.approx([0.5 * found.rates[3], found.rates[3]])
    assert fingerprint(model, optimizer, scheduler) == before
    assert scheduler.get_last_lr() == [0.0, 0.0]


def test_a_group_that_is_frozen_now_stays_so() -> None:
    model = make_noisy()
    optimizer = torch.optim.SGD(
        param_groups(model, {"backbone": piecewise_constant([4], [0.0, 1.0])}, lr=0.1)
    )
    scheduler = ScheduleLR(optimizer)
    weights: list[Any] = []

    def loss(outputs: Any, targets: Any) -> Any:
        weights.append(bits(model.backbone[0].parameters()))
        return loss_function(outputs, targets)

    found = find_lr(model, optimizer, loss, make_loader(), scheduler=scheduler, **QUIET)
    assert found.group_factors == {"backbone": 0.0, "default": 1.0}
    assert all(each == weights[0] for each in weights)
    assert found.losses[0] != found.losses[-1]


def test_pytorchs_schedulers_are_put_back() -> None:
    model, optimizer = make("tensor rate")
    with warnings.catch_warnings():
        scheduler = torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3),
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10),
            ],
            milestones=[3],
        )
    before = fingerprint(model, optimizer, scheduler)

    def step(batch: Any) -> Any:
        (loss,) = train(model, optimizer, [batch])
        scheduler.step()
        return loss

    found = find_lr(model, optimizer, loader=make_loader(), step=step, scheduler=scheduler, **QUIET)
    assert fingerprint(model, optimizer, scheduler) == before
    assert found.group_factors == {"group 0": 1.0}


# -- ways to train ---------------------------------------------------------------------------


def test_a_training_step_of_ones_own_sees_the_same_losses() -> None:
    model, optimizer = make()

    def step(batch: Any) -> Any:
        (loss,) = train(model, optimizer, [batch])
        return loss

    before = fingerprint(model, optimizer)
    seed_all()
    mine = find_lr(model, optimizer, loader=make_loader(), step=step, **QUIET)
    seed_all()
    theirs = find_lr(model, optimizer, loss_function, make_loader(), **QUIET)
    assert mine == theirs
    seed_all(1)
    assert fingerprint(model, optimizer)["weights"] == before["weights"]


def test_what_a_step_changes_beside_the_model_is_put_back() -> None:
    model, optimizer = make()
    average = torch.optim.swa_utils.AveragedModel(model)

    def step(batch: Any) -> Any:
        (loss,) = train(model, optimizer, [batch])
        average.update_parameters(model)
        return loss

    before = fingerprint(average, optimizer)
    find_lr(model, optimizer, loader=make_loader(), step=step, also=[average], **QUIET)
    assert fingerprint(average, optimizer) == before


def test_gradients_that_were_there_come_back() -> None:
    model, optimizer = make()
    loss_function(model(make_batch(3)[0]), make_batch(3)[1]).backward()
    before = fingerprint(model, optimizer)
    seen: list[float] = []

    def step(batch: Any) -> Any:  # zeroes them after the update, not before
        seen.append(
            sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None)
        )
        loss = loss_function(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        return loss

    find_lr(model, optimizer, loader=make_loader(), step=step, **QUIET)
    assert fingerprint(model, optimizer) == before
    assert model.head.weight.grad is not None
    assert set(seen) == {0.0}


def test_gradients_that_a_step_writes_into_come_back() -> None:
    model, optimizer = make()
    buffers = {p: torch.ones_like(p) for p in model.parameters() if p.requires_grad}
    for parameter, buffer in buffers.items():
        parameter.grad = buffer
    before = fingerprint(model, optimizer)

    def step(batch: Any) -> Any:
        for parameter, buffer in buffers.items():
            parameter.grad = buffer.zero_()
        loss = loss_function(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    find_lr(model, optimizer, loader=make_loader(), step=step, **QUIET)
    assert fingerprint(model, optimizer) == before


def in_a_block(shape: torch.Size) -> tuple[Tensor, Tensor]:
    block = torch.ones(shape.numel() + 1)
    return block, torch.empty(0).set_(block.untyped_storage(), 0, shape, torch.ones(shape).stride())


def in_numpy(shape: torch.Size) -> tuple[Tensor, Tensor]:
    array = np.ones(shape, "float32")
    return torch.from_numpy(array), torch.from_numpy(array)


def among_processes(shape: torch.Size) -> tuple[Tensor, Tensor]:
    shared = torch.ones(shape).share_memory_()
    return shared, shared.detach()


def detached(shape: torch.Size) -> tuple[Tensor, Tensor]:
    owner = torch.ones(shape)
    return owner, owner.detach()


@pytest.mark.parametrize("make_shared", [in_a_block, in_numpy, among_processes, detached])
def test_gradients_stay_in_the_memory_that_they_share(
    make_shared: Callable[[torch.Size], tuple[Tensor, Tensor]],
) -> None:
    model, optimizer = make()
    owners = []
    for parameter in model.parameters():
        owner, parameter.grad = make_shared(parameter.shape)
        assert not parameter.grad._is_view()
        owners.append(owner)
    find_lr(model, optimizer, loss_function, make_loader(), **QUIET)
    for parameter, owner in zip(model.parameters(), owners, strict=True):
        assert parameter.grad is not None
        assert set(parameter.grad.flatten().tolist()) == {1.0}
        assert parameter.grad.is_shared() == owner.is_shared()
        owner.fill_(7.0)
        assert set(parameter.grad.flatten().tolist()) == {7.0}


def test_sparse_gradients_come_back() -> None:
    model = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Flatten(0, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs**2).mean()

    batches = [(torch.arange(9)[None], torch.zeros(1))] * 3
    loss(model(batches[0][0]), batches[0][1]).backward()
    gradient = next(model.parameters()).grad
    assert gradient is not None
    before = gradient.to_dense().clone()
    find_lr(model, optimizer, loss, batches, **QUIET)
    assert next(model.parameters()).grad is gradient
    assert torch.equal(gradient.to_dense(), before)


def test_gradients_that_nothing_clears_come_back() -> None:
    class Weighted(nn.Module):
        """A loss with a weight that the optimizer doesn't have."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, outputs: Any, targets: Any) -> Any:
            return self.weight * loss_function(outputs, targets)

    model, optimizer = make()
    loss = Weighted()
    gradient = loss.weight.grad = torch.tensor(0.5)
    find_lr(model, optimizer, loss, make_loader(), **QUIET)
    assert loss.weight.grad is gradient
    assert float(gradient) == 0.5


def test_accumulated_batches_are_one_point() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = [make_batch(number, samples=8) for number in range(7)]  # one is left over
    options: dict[str, Any] = {"low": 1e-3, "high": 1.0, "stop": "never"} | QUIET
    found = find_lr(model, optimizer, loss_function, data, accumulate=2, **options)
    pairs = zip(data[::2], data[1::2], strict=False)
    large = [tuple(map(torch.cat, zip(*pair, strict=True))) for pair in pairs]
    whole = find_lr(model, optimizer, loss_function, large, **options)
    assert len(found.losses) == 12
    assert found.losses == pytest.approx(whole.losses, rel=1e-5)


@pytest.mark.parametrize(
    "autocast", [torch.bfloat16, torch.autocast("cpu", torch.bfloat16)], ids=["type", "context"]
)
def test_autocast(autocast: Any) -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    types = []

    def loss(outputs: Any, targets: Any) -> Any:
        types.append(outputs.dtype)
        return loss_function(outputs, targets)

    before = fingerprint(model, optimizer)
    found = find_lr(model, optimizer, loss, make_loader(), autocast=autocast, **QUIET)
    assert set(types) == {torch.bfloat16}
    assert fingerprint(model, optimizer) == before
    assert found.losses[0] == pytest.approx(math.log(3), abs=0.3)


@pytest.mark.parametrize("fused", [False, True])
def test_an_update_that_the_scaler_leaves_out_is_no_point(fused: bool) -> None:
    model = make_network()
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, growth_interval=4)  # too high
    before = fingerprint(model, optimizer, scaler)
    inside = dict(vars(scaler))
    options: dict[str, Any] = QUIET | {"stop": "never", "high": 0.1}
    data = [make_batch(number) for number in range(12)]
    calls = 0

    def loss(outputs: Any, targets: Any) -> Any:
        nonlocal calls
        calls += 1
        return loss_function(outputs, targets) * 2.0**20

    found = find_lr(model, optimizer, loss, data, scaler=scaler, **options)
    assert calls > 24
    plain = find_lr(model, optimizer, loss, data, **options)
    assert found.losses == pytest.approx(plain.losses, rel=1e-4)
    assert fingerprint(model, optimizer, scaler) == before
    assert vars(scaler) == inside


def test_an_update_that_is_always_left_out_is_nan() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.head.weight.register_hook(lambda gradient: gradient * math.inf)
    scaler = torch.amp.GradScaler("cpu")
    found = find_lr(model, optimizer, loss_function, make_loader(), scaler=scaler, **QUIET)
    assert all(math.isnan(loss) for loss in found.losses)
    assert found.stopped == "diverged"
    assert found.suggestion is None


class Named(nn.Module):
    """Called by keywords, and gives its own loss, as models of Transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = make_network()

    def forward(self, x: Any, labels: Any = None) -> dict[str, Any]:
        logits = self.inside(x)
        return {"logits": logits, "loss": loss_function(logits, labels)}


def test_batches_of_all_kinds() -> None:
    model = Named()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pairs = [make_batch(number) for number in range(4)]
    named = [{"x": x, "labels": y} for x, y in pairs]
    theirs = find_lr(model, optimizer, None, named, **QUIET)
    own = find_lr(
        model,
        optimizer,
        lambda outputs, batch: loss_function(outputs["logits"], batch["labels"]),
        named,
        **QUIET,
    )
    plain = find_lr(model.inside, optimizer, loss_function, pairs, **QUIET)
    assert theirs == own == plain

    coder = nn.Linear(6, 6)
    optimizer = torch.optim.SGD(coder.parameters(), lr=0.1)
    mse = nn.MSELoss()
    curves = [
        find_lr(coder, optimizer, mse, data, **QUIET).losses
        for data in ([x for x, _ in pairs], [[x] for x, _ in pairs], [(x, x) for x, _ in pairs])
    ]
    assert curves[0] == curves[1] == curves[2]

    two = nn.Bilinear(6, 6, 3)
    optimizer = torch.optim.SGD(two.parameters(), lr=0.1)
    found = find_lr(two, optimizer, loss_function, [(x, x, y) for x, y in pairs], **QUIET)
    assert math.isfinite(found.losses[0])


def test_a_loss_with_parameters_of_its_own_is_put_back() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.calls = 0

        def forward(self, outputs: Any, targets: Any) -> Any:
            self.calls += 1
            return loss_function(outputs * self.scale, targets)

    model, loss = make_network(), Scaled()
    optimizer = torch.optim.SGD([*model.parameters(), *loss.parameters()], lr=0.1)
    find_lr(model, optimizer, loss, make_loader(), **QUIET)
    assert (loss.scale.item(), loss.scale.grad, loss.calls) == (1.0, None, 0)


def test_the_copy_may_be_kept_on_the_host() -> None:
    model, optimizer = make(steps=2)
    before = fingerprint(model, optimizer)
    seed_all()
    device = find_lr(model, optimizer, loss_function, make_loader(), **QUIET)
    seed_all()
    host = find_lr(model, optimizer, loss_function, make_loader(), memory="host", **QUIET)
    assert device == host
    assert fingerprint(model, optimizer)["weights"] == before["weights"]


def test_it_works_under_no_grad_and_with_an_iterator() -> None:
    model, optimizer = make()
    with torch.no_grad():
        found = find_lr(model, optimizer, loss_function, iter(make_loader()), **QUIET)
    assert found.stopped == "data ended"
    assert len(found.losses) == 8


def test_a_compiled_model_and_a_compiled_step() -> None:
    import torch._dynamo
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    model = make_network()
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = torch.optim.SGD(param_groups(model, {"backbone": 0.5}, lr=torch.tensor(0.1)))
    step_compiled = torch.compile(optimizer.step, backend="aot_eager")
    data = [make_batch(number) for number in range(12)]

    def step(batch: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_function(compiled(batch[0]), batch[1])
        loss.backward()
        step_compiled()
        return loss

    for batch in data[:3]:
        step(batch)
    before = fingerprint(compiled, optimizer)
    compiled_once = counters["stats"]["unique_graphs"]
    options: dict[str, Any] = QUIET | {"high": 0.1}
    found = find_lr(compiled, optimizer, loader=data, step=step, **options)
    step(data[0])
    assert counters["stats"]["unique_graphs"] == compiled_once == 2
    for batch in data[:1]:
        find_lr(compiled, optimizer, loss_function, [batch], **options)
    assert found.losses[0] < math.log(3) + 0.3
    torch._dynamo.reset()
    assert before["identity"] == fingerprint(compiled, optimizer)["identity"]


# -- what can't be searched ------------------------------------------------------------------


def refused(match: str, **changes: Any) -> None:
    """find_lr raises one clear error, and nothing has changed."""
    model, optimizer = make(steps=1)
    given: dict[str, Any] = {
        "model": model,
        "optimizer": optimizer,
        "loss": loss_function,
        "loader": make_loader(),
        "progress": False,
    } | {key: change(model) if key == "optimizer" else change for key, change in changes.items()}
    before = fingerprint(model, optimizer)
    with pytest.raises(FinderError, match=match):
        find_lr(**given)
    assert fingerprint(model, optimizer) == before


class NoRate(torch.optim.Optimizer):
    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {})


@pytest.mark.parametrize(
    ("match", "changes"),
    [
        ("must be below high", {"low": 1.0, "high": 0.1}),
        ("low must be .* got 0.0", {"low": 0.0}),
        ("low must be .* got -1", {"low": -1}),
        ("high must be", {"high": math.inf}),
        ("steps must be", {"steps": 9}),
        ("no batch", {"loader": []}),
        ("loader=None", {"loader": None}),
        ("loader=3", {"loader": 3}),
        ("not a torch.nn.Module", {"model": "resnet"}),
        ("not a torch.optim.Optimizer", {"optimizer": lambda model: "adam"}),
        ("no 'lr'", {"optimizer": lambda model: NoRate(model.parameters())}),
        ("have the rate 0", {"optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.0)}),
        ("none of the model", {"optimizer": lambda m: torch.optim.SGD(make_noisy().parameters())}),
        ("needs a closure", {"optimizer": lambda m: torch.optim.LBFGS(m.parameters())}),
        ("shape .8,.*take its mean", {"loss": nn.CrossEntropyLoss(reduction="none")}),
        ("a NoneType, and", {"loss": lambda outputs, targets: None}),
        ("have no loss", {"loss": None}),
        ("make one first", {"loss": nn.CrossEntropyLoss}),
        ("can't be called", {"loss": "cross entropy"}),
        ("two ways", {"step": lambda batch: 0.0}),
        ("no gradient", {"loss": lambda outputs, targets: outputs.detach().sum()}),
        ("accumulate must be", {"accumulate": 0}),
        ("accumulate=9 must be at most", {"accumulate": 9}),
        ("memory='disk'", {"memory": "disk"}),
        ("autocast=True", {"autocast": True}),
        ("no GradScaler", {"scaler": 2.0}),
        ("does both itself", {"loss": None, "step": lambda batch: 0.0, "accumulate": 2}),
        ("method must be", {"method": "guess"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_clear_error(match: str, changes: dict[str, Any]) -> None:
    refused(match, **changes)


def test_a_model_without_shapes_is_refused() -> None:
    model = nn.LazyLinear(3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(FinderError, match="without a shape"):
        find_lr(model, optimizer, loss_function, make_loader())


def test_noisy_is_noisy() -> None:
    """The network of these tests does change what is said to be put back."""
    model, optimizer = make()
    seed_all()
    before = fingerprint(model, optimizer)
    train(model, optimizer, make_loader())
    after = fingerprint(model, optimizer)
    changed = {name for name in before if before[name] != after[name]}
    assert changed >= {"weights", "identity", "gradients", "optimizer state", "counts", "random"}
    assert isinstance(model, Noisy)
