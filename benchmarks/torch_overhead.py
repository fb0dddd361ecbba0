"""What per-layer rates cost in PyTorch: step time, as ratios to the plain optimizer.

All candidates update the same 200-layer network's parameters with the same gradients, by AdamW in
its for-loop, foreach and fused implementations: the optimizer's step alone, where a cost is easiest
to see. Then the schedulers' steps alone, as ratios to ``LambdaLR``, and a step under
``torch.compile``. They take turns, a slice of steps each, in an order that is shuffled every round,
so that a slow moment of the machine falls on all alike. The ratio is taken within each round and
its median and quartiles over the rounds are shown. Run it on an idle machine: ``make bench``, or

    python benchmarks/torch_overhead.py
"""

import argparse
import json
import logging
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _interleaved
from rich.console import Console
from rich.table import Table

from layerwise.finder import tracked

LAYERS, WIDTH = 200, 64
COUNTS = (1, 2, 24, 200)
SCHEDULED = (24, 200)
RATE, DECAY = 1e-3, 0.01
WARMUP, LENGTH = 1_000, 100_000
CHANGES = 100
IMPLEMENTATIONS = {
    "for-loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
RESULTS = Path(__file__).parent / "results"


@dataclass
class Candidate:
    """What is measured: one step, and the number of parameter groups that it goes through."""

    step: Callable[[], object]
    groups: int

    def run(self, steps: int) -> float:
        """Take steps; the seconds for each."""
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        return (time.perf_counter() - start) / steps


def multipliers(count: int, layers: int = LAYERS) -> dict[str, float]:
    """A rule for each layer, with this many different multipliers, none of them 1."""
    return {f"layer{i:03d}": 0.9 - 0.5 * (i % count) / count for i in range(layers)}


def make_model(layers: int = LAYERS) -> Any:
    """Equal weights and gradients for all candidates, one narrow layer after the other."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential()
    for i in range(layers):
        model.add_module(f"layer{i:03d}", torch.nn.Linear(WIDTH, WIDTH))
    for parameter in model.parameters():
        # Not zeros: a moment that decays into denormal numbers would be measured instead.
        parameter.grad = torch.randn_like(parameter)
    return model


def by_rate(count: int) -> list[dict[str, Any]]:
    """Groups made by hand, one for each different rate."""
    model, groups = make_model(), {}
    for name, multiplier in multipliers(count).items():
        group = groups.setdefault(multiplier, {"params": [], "lr": RATE * multiplier})
        group["params"] += model.get_submodule(name).parameters()
    return list(groups.values())


def by_parameter() -> list[dict[str, Any]]:
    """Groups as timm's layer decay makes them: of each layer those with weight decay, and not.

    Where a layer is one weight and one bias, that is a group for each parameter.
    """
    model, groups = make_model(), []
    for name, multiplier in multipliers(LAYERS).items():
        for parameter in model.get_submodule(name).parameters():
            decay = DECAY if parameter.ndim > 1 else 0.0
            groups.append({"params": [parameter], "lr": RATE * multiplier, "weight_decay": decay})
    return groups


def new_lambda() -> Callable[[int], float]:
    """Warm-up, then cosine, as one writes it for LambdaLR; each time a function of its own."""

    def factor(step: int) -> float:
        if step < WARMUP:
            return step / WARMUP
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - WARMUP) / LENGTH)))

    return factor


def schedulers(count: int) -> dict[str, Callable[[Any], Any]]:
    """The schedulers for so many groups, by name; the first is PyTorch's."""
    from torch.optim.lr_scheduler import LambdaLR

    from layerwise import cosine, warmup
    from layerwise.torch import ScheduleLR

    schedule = warmup(WARMUP) >> cosine(LENGTH)
    lambdas = [new_lambda() for _ in range(count)]
    return {
        f"LambdaLR, {count} lambdas": lambda optimizer: LambdaLR(optimizer, lambdas),
        "LambdaLR again": lambda optimizer: LambdaLR(optimizer, lambdas),
        f"ScheduleLR, {count} lambdas": lambda optimizer: ScheduleLR(optimizer, lambdas),
        "ScheduleLR, one schedule": lambda optimizer: ScheduleLR(optimizer, schedule),
    }


def step_candidates(implementation: str) -> dict[str, Candidate]:
    """The optimizers to be measured, by name; the first is the plain one."""
    from torch.optim import AdamW

    import layerwise.torch.optim as all_groups
    from layerwise.torch import biases_and_norms, param_groups

    def candidate(
        parameters: Iterable[Any],
        scheduler: Callable[[Any], Any] | None = None,
        kind: Any = AdamW,
    ) -> Candidate:
        options: Any = IMPLEMENTATIONS[implementation]
        optimizer = kind(parameters, lr=RATE, weight_decay=DECAY, **options)
        step = optimizer.step if scheduler is None else _both(optimizer, scheduler(optimizer))
        return Candidate(step, len(optimizer.param_groups))

    def layerwise(count: int, **options: Any) -> list[dict[str, Any]]:
        return param_groups(make_model(), multipliers(count), lr=RATE, **options)

    made = {
        name: candidate(make_model().parameters()) for name in ("plain AdamW", "plain AdamW again")
    }
    for count in COUNTS:
        made[f"param_groups, {count}"] = candidate(layerwise(count))
        made[f"layerwise.torch.optim, {count}"] = candidate(layerwise(count), kind=all_groups.AdamW)
    for count in COUNTS[1:]:
        made[f"groups by hand, {count}"] = candidate(by_rate(count))
    made[f"param_groups, {LAYERS}, no decay of biases"] = candidate(
        layerwise(LAYERS, weight_decay=DECAY, no_decay=biases_and_norms)
    )
    made["one group per parameter, as timm"] = candidate(by_parameter())
    for count in SCHEDULED:
        for name, scheduler in schedulers(count).items():
            groups = layerwise(count)
            made[f"{count} + {name}"] = candidate(groups, scheduler)
    return made


def scheduler_candidates(count: int) -> dict[str, dict[str, Candidate]]:
    """The schedulers alone, for so many groups, by what the groups share.

    Each is compared with PyTorch's for the very same callables, which comes first, and twice.
    """
    from torch.optim import AdamW
    from torch.optim.lr_scheduler import LambdaLR

    from layerwise import cosine, warmup
    from layerwise.torch import ScheduleLR, param_groups

    def candidate(kind: Any, schedule: Any) -> Candidate:
        optimizer = AdamW(param_groups(make_model(), multipliers(count), lr=RATE), fused=True)
        scheduler = kind(optimizer, schedule)
        optimizer.step()  # LambdaLR warns of a scheduler that goes first
        return Candidate(scheduler.step, len(optimizer.param_groups))

    schedule = warmup(WARMUP) >> cosine(LENGTH)
    given = {
        "one lambda": new_lambda(),
        "a lambda each": [new_lambda() for _ in range(count)],
        "one schedule": schedule,
        "a schedule each": [warmup(WARMUP) >> cosine(LENGTH + n) for n in range(count)],
    }
    return {
        shared: {
            f"LambdaLR, {shared}": candidate(LambdaLR, value),
            f"LambdaLR, {shared}, again": candidate(LambdaLR, value),
            f"ScheduleLR, {shared}": candidate(ScheduleLR, value),
        }
        for shared, value in given.items()
    }


def _both(optimizer: Any, scheduler: Any, step: Callable[[], object] | None = None) -> Any:
    """A step of the optimizer, perhaps a compiled one, then one of its scheduler."""
    first = optimizer.step if step is None else step

    def both() -> None:
        first()
        scheduler.step()

    return both


def measure_compiled(layers: int, rounds: int, steps: int) -> dict[str, Any]:
    """The step under ``torch.compile`` with rates that are tensors, and what it compiles again."""
    import torch
    from torch._dynamo.utils import counters
    from torch._inductor.utils import fresh_cache

    from layerwise import cosine, warmup
    from layerwise.torch import ScheduleLR, param_groups

    torch._logging.set_logs(all=logging.ERROR)
    count = min(24, layers)
    rules = multipliers(count, layers)

    def adamw(layered: bool, size: int = layers) -> Any:
        model, rate = make_model(size), torch.tensor(RATE)
        groups = param_groups(model, rules, lr=rate) if layered else model.parameters()
        return torch.optim.AdamW(groups, lr=rate)

    torch.compile(adamw(False, 1).step)()  # the first one in a process pays for more than itself
    counters.clear()
    scheduled = adamw(True)
    scheduler = ScheduleLR(scheduled, warmup(WARMUP) >> cosine(LENGTH))
    optimizers = {
        "plain AdamW": adamw(False),
        "plain AdamW again": adamw(False),
        f"param_groups, {count}": adamw(True),
        f"param_groups, {count} + ScheduleLR": scheduled,
    }
    made, first = {}, {}
    for name, optimizer in tracked(optimizers.items(), "compiling"):
        step = torch.compile(optimizer.step)
        with fresh_cache():
            first[name] = Candidate(step, 0).run(1)
        if optimizer is scheduled:
            step = _both(optimizer, scheduler, step)
        made[name] = Candidate(step, len(optimizer.param_groups))
    for candidate in made.values():
        candidate.run(2)
    graphs = counters["stats"]["unique_graphs"]
    seen = set()
    for _ in range(CHANGES):
        made[f"param_groups, {count} + ScheduleLR"].step()
        seen.add(tuple(float(rate) for rate in scheduler.get_last_lr()))
    again = counters["stats"]["unique_graphs"] - graphs
    result = measure("compiled", made, rounds, steps)
    for name, row in result["candidates"].items():
        row["first_step_s"] = first[name]
    return result | {
        "layers": layers,
        "graphs": graphs,
        "rate_changes": len(seen),
        "recompilations": again,
    }


def measure(title: str, made: dict[str, Candidate], rounds: int, steps: int) -> dict[str, Any]:
    """Every candidate's ratios to the first one."""
    order = random.Random(0)
    names = list(made)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for candidate in made.values():
        candidate.run(2)  # every state made, every cache warm
    for _ in tracked(range(rounds), title):
        for name in order.sample(names, len(names)):
            taken[name].append(made[name].run(steps))
    plain = names[0]
    return {
        "plain": plain,
        "plain_step_ms": 1e3 * statistics.median(taken[plain]),
        "candidates": {
            name: {
                "groups": made[name].groups,
                "step": _interleaved.ratio(taken[name], taken[plain]),
            }
            for name in names
        },
    }


def show(results: dict[str, dict[str, Any]], threads: int) -> None:
    """All results as one table, a section for each implementation."""
    table = Table(
        title=f"PyTorch: {LAYERS} layers of {WIDTH}, AdamW, {threads} threads\n"
        "each section in ratios to its first line"
    )
    table.add_column("optimizer, number of different rates")
    table.add_column("groups", justify="right")
    table.add_column("step / first line (quartiles)", justify="right")
    for title, result in results.items():
        table.add_section()
        table.add_row(f"[bold]{title}[/bold]", "", f"[bold]{result['plain_step_ms']:.3f} ms[/bold]")
        for name, row in result["candidates"].items():
            ratio = row["step"]
            shown = _interleaved.text(ratio)
            table.add_row(name, str(row["groups"]), shown)
    console = Console()
    console.print(table)
    for title, result in results.items():
        steps = {name: row["step"] for name, row in result["candidates"].items()}
        _interleaved.page(f"PyTorch, {title}", {"step": steps})
    compiled = [result for result in results.values() if "graphs" in result]
    for result in compiled:
        seconds = ", ".join(f"{r['first_step_s']:.1f} s" for r in result["candidates"].values())
        console.print(
            f"Compiled: {result['graphs']} graphs for {len(result['candidates'])} optimizers, "
            f"first steps {seconds}; {result['recompilations']} compiled again over "
            f"{result['rate_changes']} different rates."
        )


def main() -> None:
    """Measure each implementation, the schedulers alone and a compiled step."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=8, help="steps in a slice")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--compiled-layers",
        type=int,
        default=24,
        metavar="LAYERS",
        help=f"layers of the compiled step's network; {LAYERS} take minutes, 0 leaves it out",
    )
    parser.add_argument("--schedulers", action="store_true", help="only the schedulers alone")
    parser.add_argument("--no-write", action="store_true", help="only show the table")
    arguments = _interleaved.parsed(parser, rounds=5, steps=4, compiled_layers=4)
    rounds, steps = arguments.rounds, arguments.steps
    torch.set_num_threads(arguments.threads)
    results = {}
    for name in () if arguments.schedulers else IMPLEMENTATIONS:
        results[name] = measure(name, step_candidates(name), rounds, steps)
    for count in SCHEDULED:
        for shared, made in scheduler_candidates(count).items():
            title = f"scheduler.step() alone, {count} groups, {shared}"
            results[title] = measure(title, made, rounds, 10 * steps)
    if arguments.compiled_layers and not arguments.schedulers:
        title = f"compiled, {arguments.compiled_layers} layers"
        results[title] = measure_compiled(arguments.compiled_layers, rounds, steps)
    show(results, arguments.threads)
    if arguments.no_write or arguments.schedulers:
        return
    RESULTS.mkdir(exist_ok=True)
    shape = {"layers": LAYERS, "width": WIDTH, "rounds": rounds, "steps": steps}
    shape |= {"threads": arguments.threads, "torch": torch.__version__}
    path = RESULTS / "torch-overhead.json"
    path.write_text(json.dumps(shape | {"results": results}, indent=1))


if __name__ == "__main__":
    main()
