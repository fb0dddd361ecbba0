"""A run of 60 steps that can be stopped at each of them, and continued in another process.

    python -m tests._scripts.torch_resuming ORDER FOLDER

continues every checkpoint in the folder in one order of construct and load, and prints as JSON how
many were continued and which of them came out different.
"""

import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from layerwise import cosine, cyclic, gradual_unfreezing, linear, piecewise_constant, warmup
from layerwise.torch import ScheduleLR, param_groups
from tests._support.own_process import report
from tests._support.schedules import SCHEDULES
from tests._support.torch.networks import bits

STEPS = 60
ORDERS = (
    "construct, load scheduler, load optimizer",
    "construct, load optimizer, load scheduler",
    "load optimizer, construct, load scheduler",
    "load optimizer, construct at the step",
)


def inverse(step: int) -> float:
    return 1.0 / (1.0 + step / 7)


class Waves:
    """A callable object, as LambdaLR takes it."""

    def __call__(self, step: int) -> float:
        return 1.0 + 0.5 * (step % 5)


KINDS: dict[str, dict[str, Any]] = {
    # The first example of every shape and of every way to combine them.
    **{
        expression: {"schedule": schedule}
        for expression, schedule in {
            type(schedule): (expression, schedule)
            for expression, schedule in reversed(SCHEDULES.items())
        }.values()
    },
    "no schedule": {},
    "a function": {"schedule": inverse},
    "a lambda": {"schedule": lambda step: 0.9**step},
    "a callable object": {"schedule": Waves()},
    "one for each group": {"schedule": [cosine(50), inverse]},
    "by name": {"schedule": {"head": warmup(10) >> cosine(40)}},
    "a rule that is a schedule": {"rules": {"head": cyclic(7, low=0.1)}, "schedule": cosine(55)},
    "a rule that is a function": {"rules": {"head": inverse, "body": 0.5}},
    "a rule that is a lambda": {"rules": {"head": lambda step: 0.5 + step}, "schedule": cosine(55)},
    "a rule that freezes": {"rules": {"body": piecewise_constant([25], [0.0, 1.0])}},
    "gradual unfreezing": {"rules": gradual_unfreezing(every=20), "schedule": cosine(60)},
    "momentum": {"schedule": cosine(60), "momentum": linear(60, start=0.95, end=0.8)},
    "weight decay": {"schedule": cosine(60), "weight_decay_factor": inverse},
}


def make_parameters() -> dict[str, torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(4)
    return {
        name: torch.nn.Parameter(torch.randn(3, generator=generator))
        for name in ("body.weight", "head.weight")
    }


class Run:
    """Two parameters under SGD with momentum, whose gradients depend on weights and step."""

    def __init__(self, kind: str) -> None:
        self.options = dict(KINDS[kind])
        self.parameters = make_parameters()
        rules = self.options.pop("rules", {"head": 0.5})
        groups = param_groups(self.parameters, rules, lr=0.05, weight_decay=0.01)
        self.optimizer = torch.optim.SGD(groups, momentum=0.9, foreach=False)
        self.scheduler: Any = None

    def construct(self, last_epoch: int = -1) -> None:
        self.scheduler = ScheduleLR(self.optimizer, last_epoch=last_epoch, **self.options)

    def update(self, step: int) -> None:
        for place, parameter in enumerate(self.parameters.values()):
            parameter.grad = parameter.detach() * 0.3 + (step * 7 + place) % 11 - 5.0
        self.optimizer.step()
        self.scheduler.step()

    def rates(self) -> list[float]:
        rates: list[float] = self.scheduler.get_last_lr()
        return [*rates, *(group["momentum"] for group in self.optimizer.param_groups)]

    def weights(self) -> bytes:
        return b"".join(bits(self.parameters.values()))

    def checkpoint(self) -> dict[str, Any]:
        return {
            "weights": {name: p.detach().clone() for name, p in self.parameters.items()},
            "optimizer": deepcopy(self.optimizer.state_dict()),
            "scheduler": self.scheduler.state_dict(),
        }


def record(kind: str) -> dict[str, Any]:
    """The uninterrupted run: its checkpoint before each step, and what followed."""
    run = Run(kind)
    run.construct()
    checkpoints, rates, weights = [], [run.rates()], [run.weights()]
    for step in range(STEPS):
        checkpoints.append(run.checkpoint())
        run.update(step)
        rates.append(run.rates())
        weights.append(run.weights())
    return {"kind": kind, "checkpoints": checkpoints, "rates": rates, "weights": weights}


def resumed(kind: str, step: int, checkpoint: dict[str, Any], order: str) -> Run:
    run = Run(kind)
    with torch.no_grad():
        for name, value in checkpoint["weights"].items():
            run.parameters[name].copy_(value)
    actions = {
        "construct": run.construct,
        "construct at the step": lambda: run.construct(step - 1),
        "load scheduler": lambda: run.scheduler.load_state_dict(checkpoint["scheduler"]),
        "load optimizer": lambda: run.optimizer.load_state_dict(checkpoint["optimizer"]),
    }
    for action in order.split(", "):
        actions[action]()
    return run


def main(order: str, folder: Path) -> None:
    continued, different = 0, []
    for file in sorted(folder.glob("*.pt")):
        record = torch.load(file, weights_only=True)
        for step, checkpoint in enumerate(record["checkpoints"]):
            run = resumed(record["kind"], step, checkpoint, order)
            continued += 1
            same = run.rates() == record["rates"][step]
            for later in range(step, STEPS):
                run.update(later)
                same &= run.rates() == record["rates"][later + 1]
                same &= run.weights() == record["weights"][later + 1]
            if not same:
                different.append([record["kind"], step])
    report(continued=continued, different=different)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
