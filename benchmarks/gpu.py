"""What per-layer rates cost on a GPU, and whether the numbers are right there.

One process for each section, in turn; under five minutes on a fresh machine that has the
frameworks. ``make bench-gpu``, or

    python benchmarks/gpu.py
    python benchmarks/gpu.py --section optimizers

Without a GPU it runs on the CPU, to try the script, and says so. All times are ratios to the plain
optimizer (one group), taken in turns, beside the plain optimizer's ratio to itself.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _interleaved

RESULTS = Path(__file__).parent / "results"
RATE, DECAY = 1e-3, 0.01
SHAPES = {"200 layers of 64": (200, 64), "48 layers of 1024": (48, 1024)}
TRIED = {"24 layers of 16": (24, 16)}  # where there is no GPU


def count_of(layers: int) -> tuple[int, ...]:
    """Numbers of different rates to be tried."""
    return (24, layers)


# -- PyTorch ----------------------------------------------------------------------------------


def torch_device() -> Any:
    """The GPU, or the CPU where there is none."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def torch_groups(layers: int, width: int, count: int, rate: Any = float) -> list[dict[str, Any]]:
    """Equal weights and gradients each time, in so many groups of different rates."""
    import torch

    device = torch_device()
    generator = torch.Generator(device).manual_seed(0)
    groups: list[dict[str, Any]] = [
        {"params": [], "lr": rate(RATE * (0.9 - 0.5 * place / count))} for place in range(count)
    ]
    for layer in range(layers):
        for shape in ((width, width), (width,)):
            weight = torch.randn(shape, device=device, generator=generator)
            parameter = torch.nn.Parameter(weight / 8)
            parameter.grad = torch.randn(shape, device=device, generator=generator)
            groups[layer % count]["params"].append(parameter)
    return groups


def in_turns(made: dict[str, Callable[[], object]], rounds: int, steps: int) -> dict[str, Any]:
    """Ratios to the first candidate, and its milliseconds a step."""
    taken = _interleaved.in_turns({n: repeated(step, steps) for n, step in made.items()}, rounds)
    plain = next(iter(made))
    ratios = {name: _interleaved.ratio(times, taken[plain]) for name, times in taken.items()}
    return {"plain_ms": 1e3 * statistics.median(taken[plain]) / steps, "ratios": ratios}


def repeated(step: Callable[[], object], steps: int) -> Callable[[], None]:
    """So many steps, and what the device still has to do of them."""
    import torch

    cuda = torch_device().type == "cuda"

    def slice_of_steps() -> None:
        for _ in range(steps):
            step()
        if cuda:
            torch.cuda.synchronize()

    return slice_of_steps


def optimizers(rounds: int) -> dict[str, Any]:
    """AdamW and SGD: PyTorch's class and ours, by implementation, at 24 and at all rates."""
    import torch

    import layerwise.torch.optim as ours

    found = {}
    ways: dict[str, dict[str, Any]] = {"foreach": {"foreach": True}, "fused": {"fused": True}}
    if torch_device().type == "cuda":
        ways["capturable"] = {"foreach": True, "capturable": True}
    shapes = SHAPES if torch_device().type == "cuda" else TRIED
    for shape, (layers, width) in shapes.items():
        for name, more in (("AdamW", {"weight_decay": DECAY}), ("SGD", {"momentum": 0.9})):
            for way, options in ways.items():
                if name == "SGD" and way == "capturable":
                    continue
                made: dict[str, Callable[[], object]] = {}

                def add(title: str, module: Any, count: int, options: Any = options) -> None:
                    groups = torch_groups(layers, width, count)  # noqa: B023  called at once
                    made[title] = getattr(module, name)(groups, lr=RATE, **more, **options).step  # noqa: B023

                add("torch, 1 group", torch.optim, 1)
                add("torch, 1 group, again", torch.optim, 1)
                add("layerwise, 1 group", ours, 1)
                for count in count_of(layers):
                    add(f"torch, {count} groups", torch.optim, count)
                    add(f"layerwise, {count} groups", ours, count)
                found[f"{name}, {way}, {shape}"] = in_turns(made, rounds, 5)
    return found


def equality(rounds: int) -> dict[str, Any]:
    """Each class against PyTorch's, 30 steps with the same groups: equal to the last bit or not."""
    import torch

    import layerwise.torch.optim as ours

    cuda = torch_device().type == "cuda"
    ways: list[dict[str, Any]] = [{"foreach": True}, {"fused": True}, {}]
    found: dict[str, Any] = {}
    for name, more in variants():
        for way in ways + ([{"foreach": True, "capturable": True}] if cuda else []):
            tensors = (False, True) if way.get("capturable") or way.get("fused") else (False,)
            for as_tensor in tensors:
                title = f"{name} {more} {way}" + (", rates as tensors" if as_tensor else "")
                options = {**more, **way}
                try:
                    theirs = after_steps(getattr(torch.optim, name), options, as_tensor)
                except (TypeError, RuntimeError):
                    continue  # PyTorch has no such implementation
                own = after_steps(getattr(ours, name), options, as_tensor)
                furthest = max(float((a - b).abs().max()) for a, b in zip(theirs, own, strict=True))
                equal = all(torch.equal(a, b) for a, b in zip(theirs, own, strict=True))
                found[title] = "equal" if equal else f"differs by {furthest:.3g}"
    wrong = {title: verdict for title, verdict in found.items() if verdict != "equal"}
    return {"tried": len(found), "not equal": wrong}


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """The classes with the options that change what they compute."""
    yield "SGD", {}
    yield "SGD", {"momentum": 0.9}
    yield "SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}
    for name in ("Adam", "AdamW"):
        yield name, {}
        yield name, {"amsgrad": True, "maximize": True}
    yield "RMSprop", {}
    yield "RMSprop", {"momentum": 0.5, "centered": True}
    yield "NAdam", {}
    yield "NAdam", {"decoupled_weight_decay": True}
    yield "RAdam", {}
    yield "RAdam", {"decoupled_weight_decay": True}
    yield "Adagrad", {"lr_decay": 0.1}


def after_steps(optimizer_class: Any, options: dict[str, Any], as_tensor: bool) -> list[Any]:
    """The parameters after 30 steps in five groups, of which two have another dtype."""
    import torch

    device = torch_device()
    rate = (lambda r: torch.tensor(r, device=device)) if as_tensor else float
    groups = torch_groups(10, 33, 5, rate)
    for place, group in enumerate(groups):
        group["weight_decay"] = (0.0, 0.1, 0.01, 0.1, 0.0)[place]
        if place > 2:
            group["params"] = [
                torch.nn.Parameter(p.detach().to(torch.bfloat16)) for p in group["params"]
            ]
    optimizer = optimizer_class(groups, **options)
    generator = torch.Generator(device).manual_seed(1)
    for _ in range(30):
        for group in optimizer.param_groups:
            group["lr"] *= 0.97
            for p in group["params"]:
                noise = torch.randn(p.shape, device=device, generator=generator)
                p.grad = noise.to(p.dtype)
        optimizer.step()
    return [p.detach().float() for group in optimizer.param_groups for p in group["params"]]


def scaled(rounds: int) -> dict[str, Any]:
    """A whole step under float16 autocast with ``GradScaler``, fused: plain, theirs and ours."""
    import torch

    import layerwise.torch.optim as ours

    device = torch_device()
    layers, width = (48, 512) if device.type == "cuda" else (6, 16)
    x = torch.randn(64, width, device=device)

    def candidate(module: Any, count: int) -> tuple[Callable[[], object], Any, Any]:
        groups = torch_groups(layers, width, count)
        weights = [p for group in groups for p in group["params"]]
        optimizer = module.AdamW(groups, lr=RATE, fused=True)
        scaler = torch.amp.GradScaler(device.type)

        def step() -> None:
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.float16):
                y = x
                for weight, bias in zip(weights[::2], weights[1::2], strict=True):
                    y = torch.tanh(y @ weight + bias) + y
                loss = y.float().square().mean()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()

        return step, optimizer, scaler

    made = {
        "torch, 1 group": candidate(torch.optim, 1)[0],
        "torch, 1 group, again": candidate(torch.optim, 1)[0],
        f"torch, {layers} groups": candidate(torch.optim, layers)[0],
        f"layerwise, {layers} groups": candidate(ours, layers)[0],
    }
    pair = [candidate(module, layers) for module in (torch.optim, ours)]
    for number in range(12):
        for step, optimizer, scaler in pair:
            if number == 6:  # an infinite gradient: the update is left out, the scale is halved
                optimizer.param_groups[0]["params"][0].grad = None
                scaler.scale(torch.zeros(1, device=device))
                scaler._scale.fill_(3e38)
            step()
    finals = [[p for g in o.param_groups for p in g["params"]] for _, o, _ in pair]
    equal = all(torch.equal(a, b) for a, b in zip(*finals, strict=True))
    return {"equal with an update left out": equal, **in_turns(made, rounds, 3)}


def compiled(rounds: int) -> dict[str, Any]:
    """The optimizer's step under ``torch.compile`` and in a CUDA graph, rates as tensors."""
    import torch

    import layerwise.torch.optim as ours

    device = torch_device()
    if device.type != "cuda":
        return {"left out": "no CUDA"}
    layers, width = 24, 256

    def tensor(rate: float) -> Any:
        return torch.tensor(rate, device=device)

    made: dict[str, Callable[[], object]] = {}
    finals, alive = {}, []  # a graph doesn't keep the tensors that it uses
    for title, module, count in (
        ("torch, 1 group", torch.optim, 1),
        ("torch, 1 group, again", torch.optim, 1),
        ("torch, 24 groups", torch.optim, layers),
        ("layerwise, 24 groups", ours, layers),
    ):
        groups = torch_groups(layers, width, count, tensor)
        optimizer = module.AdamW(groups, lr=tensor(RATE), capturable=True, foreach=True)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                optimizer.step()
        torch.cuda.current_stream().wait_stream(stream)
        alive.append(optimizer)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            optimizer.step()
        made[f"CUDA graph, {title}"] = graph.replay
        graph.replay()
        for group in optimizer.param_groups:
            group["lr"].mul_(0.5)  # the graph sees it
        graph.replay()
        finals[title] = [p.clone() for g in optimizer.param_groups for p in g["params"]]
    pairs = zip(finals["torch, 24 groups"], finals["layerwise, 24 groups"], strict=True)
    found = {"graph equal": all(torch.equal(a, b) for a, b in pairs)}
    found |= {"graph": in_turns(made, rounds, 10)}
    steps: dict[str, Callable[[], object]] = {}
    for title, module in (("torch, 8 groups", torch.optim), ("layerwise, 8 groups", ours)):
        optimizer = module.AdamW(torch_groups(8, width, 8, tensor), lr=tensor(RATE))
        steps[title] = torch.compile(optimizer.step)
        steps[title]()
    return found | {"compiled": in_turns(steps, rounds, 10)}


def schedulers(rounds: int) -> dict[str, Any]:
    """``scheduler.step()`` alone, against ``LambdaLR``, for 24 and 200 groups."""
    import torch

    from layerwise import cosine, warmup
    from layerwise.torch import ScheduleLR

    found = {}
    schedule = warmup(1000) >> cosine(100_000)
    for count in (24, 200):
        made = {}
        for title, scheduler in {
            "LambdaLR": lambda o: torch.optim.lr_scheduler.LambdaLR(o, schedule),
            "LambdaLR, again": lambda o: torch.optim.lr_scheduler.LambdaLR(o, schedule),
            "ScheduleLR": lambda o: ScheduleLR(o, schedule),
        }.items():
            optimizer = torch.optim.AdamW(torch_groups(count, 8, count), fused=True)
            scheduling = scheduler(optimizer)
            optimizer.step()
            made[title] = scheduling.step
        found[f"{count} groups"] = in_turns(made, rounds, 50)
    return found


def synchronisations(rounds: int) -> dict[str, Any]:
    """How often a step waits for the GPU: plain, and with what Layerwise adds, one by one."""
    import torch

    from layerwise import cosine, gradual_unfreezing
    from layerwise.torch import Recorder, ScheduleLR, param_groups
    from layerwise.torch.optim import AdamW

    device = torch_device()
    if device.type != "cuda":
        return {"left out": "no CUDA"}
    x = torch.randn(32, 64, device=device)

    def waits(kind: str) -> float:
        torch.manual_seed(0)
        model = torch.nn.Sequential(*[torch.nn.Linear(64, 64) for _ in range(12)]).to(device)
        rules = gradual_unfreezing(every=5) if kind == "multipliers that move" else {"0": 0.1}
        plain = kind == "plain"
        groups: Any = model.parameters() if plain else param_groups(model, rules, lr=RATE)
        optimizer: Any = (torch.optim.AdamW if plain else AdamW)(groups, lr=RATE, foreach=True)
        scheduler = None if plain else ScheduleLR(optimizer, cosine(100))
        recorder = (
            Recorder(tempfile.mkdtemp(), optimizer, model=model) if kind == "recorder" else None
        )

        def step() -> None:
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            if recorder is not None:
                recorder.log(loss=loss.detach())

        for _ in range(12):
            step()
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for _ in range(20):
                step()
        torch.cuda.set_sync_debug_mode("default")
        if recorder is not None:
            recorder.close()
        return sum("synchroniz" in str(w.message) for w in seen) / 20

    return {
        kind: waits(kind)
        for kind in ("plain", "multipliers, schedule", "multipliers that move", "recorder")
    }


def finder(rounds: int) -> dict[str, Any]:
    """``find_lr`` with what it keeps on the host: the same answer, and less memory on the GPU."""
    import torch

    from layerwise.torch import find_lr

    device = torch_device()
    found: dict[str, Any] = {}
    for memory in ("device", "host"):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(64, 1024), torch.nn.Tanh(), torch.nn.Linear(1024, 1024),
            torch.nn.Tanh(), torch.nn.Linear(1024, 1),
        ).to(device)  # fmt: skip
        optimizer = torch.optim.Adam(model.parameters())
        x = torch.randn(64, 64)
        batches = [(x, x.sum(1, keepdim=True) / 8)] * 20
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        before = time.perf_counter()
        finding = find_lr(
            model, optimizer, torch.nn.functional.mse_loss, batches, memory=memory, progress=False
        )
        found[memory] = {
            "suggestion": finding.suggestion,
            "seconds": time.perf_counter() - before,
            "peak_mib": torch.cuda.max_memory_allocated() / 2**20
            if device.type == "cuda"
            else None,
        }
    return found


# -- Keras and Optax --------------------------------------------------------------------------


def keras_steps(rounds: int) -> dict[str, Any]:
    """A batch of training in Keras, on the backend of this process."""
    import keras
    import numpy as np

    from layerwise import linear
    from layerwise.keras import LRMultiplier

    layers, width, batch, steps = 200, 64, 32, 20
    x = np.random.default_rng(0).normal(size=(steps * batch, width)).astype("float32")

    def rules(count: int) -> dict[str, float]:
        return {f"layer{i:03d}/": 0.9 - 0.5 * (i % count) / count for i in range(layers)}

    def adam() -> Any:
        return keras.optimizers.Adam(1e-3)

    moving = {k: linear(10**6, start=m, end=0.1) for k, m in rules(24).items()}
    candidates = {
        "plain": adam,
        "plain, again": adam,
        "24 multipliers": lambda: LRMultiplier(adam(), rules(24)),
        "200 multipliers": lambda: LRMultiplier(adam(), rules(200)),
        "24 that move": lambda: LRMultiplier(adam(), moving),
    }
    made = {}
    for name, optimizer in candidates.items():
        keras.utils.set_random_seed(0)
        y = inputs = keras.Input((width,))
        for i in range(layers):
            y = keras.layers.Dense(width, activation="relu", name=f"layer{i:03d}")(y)
        model = keras.Model(inputs, y)
        model.compile(optimizer(), loss="mse")

        def fit(model: Any = model) -> None:
            model.fit(x, x, batch_size=batch, epochs=1, shuffle=False, verbose=0)

        made[name] = fit
    taken = _interleaved.in_turns(made, max(4, rounds // 2))
    ratios = {name: _interleaved.ratio(times, taken["plain"]) for name, times in taken.items()}
    return {"plain_ms": 1e3 * statistics.median(taken["plain"]) / steps, "ratios": ratios}


def optax_steps(rounds: int) -> dict[str, Any]:
    """The update alone in Optax, compiled: a step and the time to compile."""
    import jax
    import optax
    import optax_overhead as cpu

    from layerwise import linear
    from layerwise.optax import with_multipliers

    def moving(count: int) -> Any:
        rules = {k: linear(10**6, start=m, end=0.1) for k, m in cpu.multipliers(count).items()}
        return with_multipliers(optax.adamw(RATE), rules)

    makers: dict[str, Callable[[], Any]] = {
        "plain": lambda: optax.adamw(RATE),
        "plain, again": lambda: optax.adamw(RATE),
        "24 multipliers": lambda: with_multipliers(optax.adamw(RATE), cpu.multipliers(24)),
        "200 multipliers": lambda: with_multipliers(optax.adamw(RATE), cpu.multipliers(200)),
        "24 that move": lambda: moving(24),
        "200 that move": lambda: moving(200),
    }
    candidates = {name: cpu.Candidate(make, training=False) for name, make in makers.items()}
    seconds = {name: candidate.compile() for name, candidate in candidates.items()}
    made = {name: (lambda c=c: c.run(20)) for name, c in candidates.items()}
    taken = _interleaved.in_turns(made, rounds)
    ratios = {name: _interleaved.ratio(times, taken["plain"]) for name, times in taken.items()}
    compile_ratios = {name: s / seconds["plain"] for name, s in seconds.items()}
    return {
        "device": str(jax.devices()[0]),
        "plain_ms": 1e3 * statistics.median(taken["plain"]) / 20,
        "ratios": ratios,
        "compile": compile_ratios,
        "plain_compile_s": seconds["plain"],
    }


# -- the command ------------------------------------------------------------------------------

SECTIONS: dict[str, tuple[Callable[[int], dict[str, Any]], str | None]] = {
    "equality": (equality, None),
    "optimizers": (optimizers, None),
    "scaled": (scaled, None),
    "synchronisations": (synchronisations, None),
    "optax": (optax_steps, None),
    "keras on jax": (keras_steps, "jax"),
    "keras on torch": (keras_steps, "torch"),
    "finder": (finder, None),
    "schedulers": (schedulers, None),
    "compiled": (compiled, None),
}


def show(value: Any, indent: str = "") -> None:
    """A result as indented lines; a ratio as its median and quartiles."""
    for name, item in value.items():
        if isinstance(item, dict) and item.keys() == {"median", "low", "high"}:
            print(f"{indent}{name}: {_interleaved.text(item)}")
        elif isinstance(item, dict):
            print(f"{indent}{name}")
            show(item, indent + "  ")
        else:
            print(
                f"{indent}{name}: {item:.4g}"
                if isinstance(item, float)
                else f"{indent}{name}: {item}"
            )


def card() -> dict[str, str]:
    """What this ran on."""
    import torch

    cuda = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if cuda else "no GPU: tried on the CPU"
    return {"card": name, "torch": torch.__version__}


def main() -> None:
    """Run one section here, or all of them, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--section", choices=list(SECTIONS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--limit", type=int, default=90, help="seconds for each section")
    parser.add_argument("--results", type=Path, default=RESULTS / "gpu.json")
    asked = parser.parse_args()
    if asked.section is not None:
        started = time.perf_counter()
        result = SECTIONS[asked.section][0](asked.rounds)
        result["seconds"] = time.perf_counter() - started
        print(json.dumps(result))
        return
    results: dict[str, Any] = card()
    show(results)
    for section, (_, backend) in SECTIONS.items():
        environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend or "jax"}
        command = [sys.executable, __file__, "--section", section, "--rounds", str(asked.rounds)]
        print(section, flush=True)
        try:
            done = subprocess.run(
                command,
                check=False,
                env=environment,
                capture_output=True,
                text=True,
                timeout=asked.limit,
            )
            lines = done.stdout.splitlines()
            results[section] = (
                json.loads(lines[-1])
                if lines and done.returncode == 0
                else {"failed": done.stderr.splitlines()[-12:]}
            )
        except subprocess.TimeoutExpired:
            results[section] = {"failed": f"not done in {asked.limit} s"}
        show(results[section], "  ")
        asked.results.parent.mkdir(exist_ok=True)
        asked.results.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
