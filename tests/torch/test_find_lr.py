"""find_lr on PyTorch: the losses and rates of every update, however it is made."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from layerwise import cosine, piecewise_constant, warmup
from layerwise.torch import ScheduleLR, find_lr, param_groups
from tests._support.torch.finding import (
    QUIET,
    endless,
    fingerprint,
    loss_function,
    make_loader,
    make_noisy,
    make_searched,
    seed_all,
    train,
)
from tests._support.torch.networks import bits, make_batch, make_network

# PyTorch's compiler warns about a module of its own when it is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")


def test_two_searches_see_the_same_curve() -> None:
    model, optimizer = make_searched()
    options = {"steps": 15, "progress": False}
    first = find_lr(model, optimizer, loss_function, make_loader(), **options)
    second = find_lr(model, optimizer, loss_function, make_loader(), **options)
    assert first == second
    assert len(set(first.losses)) == len(first.losses)


def test_losses_are_those_of_a_loop_by_hand() -> None:
    model, optimizer = make_searched("momentum")
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


def test_it_works_under_no_grad_and_with_an_iterator() -> None:
    model, optimizer = make_searched()
    with torch.no_grad():
        found = find_lr(model, optimizer, loss_function, iter(make_loader()), **QUIET)
    assert found.stopped == "data ended"
    assert len(found.losses) == 8


def test_a_training_step_of_ones_own_sees_the_same_losses() -> None:
    model, optimizer = make_searched()

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


@pytest.mark.parametrize("accumulate", [None, 2])
def test_probes_are_scored_on_held_out_batches(accumulate: int | None) -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    held_out = [make_batch(number) for number in (98, 99)]
    scored = [0, 0]

    def loss(outputs: Any, targets: Any) -> Any:
        for place, (_, kept) in enumerate(held_out):
            scored[place] += targets.data_ptr() == kept.data_ptr()
        return loss_function(outputs, targets)

    data = [make_batch(number) for number in range(6)]
    options: dict[str, Any] = {"steps": 40, "progress": False, "accumulate": accumulate}
    found = find_lr(model, optimizer, loss, data, held_out=held_out, **options)
    assert found.probes
    assert scored[0] == scored[1] > 0


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


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("own_step", [False, True])
def test_of_several_optimizers_none_steps_twice_where_the_scaler_leaves_one_out(
    fused: bool, own_step: bool
) -> None:
    model = make_network()
    head = list(model.head.parameters())
    rest = [p for p in model.parameters() if all(p is not each for each in head)]
    optimizers = [torch.optim.AdamW(tensors, fused=fused) for tensors in (rest, head)]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20)
    model.head.weight.register_hook(lambda gradient: gradient * 2.0**120)  # of the second alone
    steps = [0, 0]

    def count(optimizer: Any, *_: object) -> None:
        if not float(getattr(optimizer, "found_inf", 0)):
            steps[optimizers.index(optimizer)] += 1

    for optimizer in optimizers:
        optimizer.register_step_post_hook(count)

    def step(batch: Any) -> Any:
        *inputs, targets = batch
        loss = loss_function(model(*inputs), targets)
        for optimizer in optimizers:
            optimizer.zero_grad()
        scaler.scale(loss).backward()
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        return loss

    ways: dict[str, Any] = {"step": step} if own_step else {"loss": loss_function}
    options: dict[str, Any] = QUIET | {"stop": "never", "high": 1e-4, "method": "sweep"}
    data = [make_batch(number) for number in range(30)]
    found = find_lr(model, optimizers, loader=data, scaler=scaler, **ways, **options)
    assert steps[0] == len(found.losses)
    assert 0 < steps[1] < steps[0]


def test_an_update_that_is_always_left_out_is_nan() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.head.weight.register_hook(lambda gradient: gradient * math.inf)
    scaler = torch.amp.GradScaler("cpu")
    found = find_lr(model, optimizer, loss_function, make_loader(), scaler=scaler, **QUIET)
    assert all(math.isnan(loss) for loss in found.losses)
    assert found.stopped == "diverged"
    assert found.suggestion is None


@pytest.mark.parametrize("persistent", [False, True])
def test_batches_of_workers_do_not_hold_files_open(persistent: bool) -> None:
    """Each tensor in shared memory has one, and a search keeps all its batches."""
    folder = Path("/proc/self/fd")
    model, optimizer = make_searched()
    loader = make_loader(num_workers=1, persistent_workers=persistent)
    files: list[int] = []

    def step(batch: Any) -> Any:
        files.append(len(list(folder.iterdir())) if folder.exists() else 0)
        assert not any(tensor.is_shared() for tensor in batch)
        (loss,) = train(model, optimizer, [batch])
        return loss

    find_lr(model, optimizer, loader=loader, step=step, **QUIET | {"steps": 40, "stop": "never"})
    assert len(files) == 40
    assert max(files) < files[0] + 40  # it would be two for each batch


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


def test_a_group_by_hand_beside_those_of_the_rules() -> None:
    model = make_noisy()
    optimizer = torch.optim.SGD(param_groups(model.backbone, {"0": 0.5}, lr=0.1))
    optimizer.add_param_group({"params": model.head.parameters()})
    assert optimizer.param_groups[-1]["lr"] == optimizer.defaults["lr"] == 1e-3
    found, _ = rates_seen(model, optimizer)  # the base is the rules', not SGD's own rate
    assert list(found.group_factors.values()) == pytest.approx([0.5, 1.0, 0.01])


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
