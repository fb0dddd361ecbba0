"""Trains every way in several draws of few labels, in each at the rates that are found in them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np

from layerwise.demo._digits import Digits, balanced, mnist_digits, uci_digits
from layerwise.demo._network import (
    Framework,
    Trainer,
    Weights,
    evaluated,
    in_batches,
    new_weights,
    with_backbone,
)
from layerwise.demo._ways import LAYERWISE, WAYS, Way
from layerwise.errors import FinderError
from layerwise.finder import LRFinding, RatesFinding, SearchOptions
from layerwise.multipliers import Plan, Rules
from layerwise.recorder import Recorder

FEW = 10  # labelled images of each class
KEPT = 7  # of them train in a search for a base rate; the other three score
POOL = 80  # images of each class to draw the few from; all others are the test

Advance = Callable[[str, int], None]

_SHORTEST = 10  # updates: a search for rates takes no shorter training


@dataclass(frozen=True)
class Settings:
    """How much to train.

    Attributes:
        seeds: How many draws of few labels; each has a new head and a new order of batches.
        steps: Optimizer updates of each fine-tuning.
        sweep: Optimizer updates of the finder's sweep; its probes take more.
        pretraining: Optimizer updates of the pretraining.
        budget: Optimizer updates of a search for the rates of all layers, at most.
    """

    seeds: int = 6
    steps: int = 250
    sweep: int = 100
    pretraining: int = 1500
    budget: int = 1500

    @property
    def updates(self) -> int:
        """Optimizer updates in all, at most."""
        of_a_draw = sum(self.searched(way) + self.steps for way in WAYS)
        return self.pretraining + self.seeds * of_a_draw

    def searched(self, way: Way) -> int:
        """Optimizer updates of one search for a way, at most."""
        if way.rules is None:
            return self.budget
        return self.sweep + SearchOptions(steps=self.sweep).probing(self.steps)


@dataclass(frozen=True)
class Reached:
    """What one way reached in one draw.

    Attributes:
        finding: What was found in the few labels: by ``find_rates`` if the way has no rules of its
            own, else by ``find_lr``.
        rules: Which weights learned how fast.
        rate: The base rate that was found; in a draw without an answer, the mean of the others.
        loss: The test loss, after training on all of the few labels at that rate.
        accuracy: The test accuracy, likewise.
    """

    finding: LRFinding | RatesFinding
    rules: Rules
    rate: float
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Result:
    """What one way reached.

    Attributes:
        way: The way.
        draws: What it reached in each draw.
    """

    way: Way
    draws: tuple[Reached, ...]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The test accuracy in each draw."""
        return tuple(draw.accuracy for draw in self.draws)

    @property
    def rate(self) -> float:
        """The geometric mean of the base rates."""
        return geometric_mean(draw.rate for draw in self.draws)

    @property
    def loss(self) -> float:
        """The mean test loss over the draws."""
        return float(np.mean([draw.loss for draw in self.draws]))

    @property
    def accuracy(self) -> float:
        """The mean accuracy over the draws."""
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float | None:
        """The standard deviation of the accuracy over the draws; None for a single one."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.draws) > 1 else None


@dataclass(frozen=True)
class Comparison:
    """The results of all ways.

    Attributes:
        backend: What it ran on: Keras' backend, ``torch-native`` or ``optax``.
        settings: How much was trained.
        tested: How many images the test has.
        results: A result for each way, in the order of ``WAYS``.
        plan: The plan of the layer-wise way in the first draw.
    """

    backend: str
    settings: Settings
    tested: int
    results: tuple[Result, ...]
    plan: Plan

    def of(self, way: Way) -> Result:
        """The result of a way."""
        [result] = [result for result in self.results if result.way is way]
        return result

    @property
    def found(self) -> RatesFinding:
        """What the search for the rates of all layers found in the first draw."""
        [found] = [
            finding
            for result in self.results
            if isinstance(finding := result.draws[0].finding, RatesFinding)
        ]
        return found

    @property
    def ranking(self) -> tuple[Result, ...]:
        """The results, best mean accuracy first."""
        return tuple(sorted(self.results, key=lambda result: -result.accuracy))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data that JSON takes; lists have an item for each draw."""
        ways = [
            {
                "way": result.way.name,
                "pretrained": result.way.pretrained,
                "rules": [repr(draw.rules) for draw in result.draws],
                "rates": [draw.rate for draw in result.draws],
                "losses": [draw.loss for draw in result.draws],
                "accuracies": list(result.accuracies),
                "rate": result.rate,
                "loss": result.loss,
                "accuracy": result.accuracy,
                "spread": result.spread,
            }
            for result in self.results
        ]
        return {
            "backend": self.backend,
            "settings": asdict(self.settings),
            "tested": self.tested,
            "ways": ways,
            "plan": self.plan.to_dict(),
        }


@dataclass(frozen=True, eq=False)
class _Draw:
    """A draw of few labels, and the two sets of weights to start from."""

    seed: int
    few: Digits
    kept: Digits
    held_out: Digits
    scratch: Weights
    pretrained: Weights

    def start(self, way: Way) -> Weights:
        return self.pretrained if way.pretrained else self.scratch

    def seen(self, digits: Digits, steps: int) -> Digits:
        return in_batches(digits, steps, np.random.default_rng([2, self.seed]))


def compare(
    framework: Framework,
    settings: Settings,
    advance: Advance = lambda _name, _updates: None,
    runs: Path | None = None,
) -> Comparison:
    """Pretrain on MNIST, then fine-tune on few UCI digits in every way.

    Args:
        framework: What to train with.
        settings: How much to train.
        advance: Called with what is being trained, and how many more updates are done.
        runs: A folder for a run of each way: the record of its first draw, with the finding, the
            plan, the test accuracy in this draw, and accuracy and loss in the mean of all.

    Returns:
        The results. The test has no image that a search or a training has seen.

    Raises:
        FinderError: No rate is found for a way in any draw.
    """
    advance("pretraining", 0)
    backbone = _pretrained(framework, settings.pretraining)
    advance("pretraining", settings.pretraining)
    pool, test = balanced(uci_digits(), POOL, np.random.default_rng(0))
    draws = [_draw(seed, pool, backbone) for seed in range(settings.seeds)]
    results = tuple(
        _measured(framework, way, settings, draws=draws, test=test, advance=advance, runs=runs)
        for way in WAYS
    )
    [first] = [result.draws[0] for result in results if result.way is LAYERWISE]
    plan = framework.plan(first.rules, first.rate, settings.steps)
    return Comparison(framework.name, settings, len(test), results, plan)


def _pretrained(framework: Framework, steps: int) -> Weights:
    seen = in_batches(mnist_digits(), steps, np.random.default_rng(1))
    return framework.trainer({}, steps).train(new_weights(0), 1e-3, seen)


def _draw(seed: int, pool: Digits, backbone: Weights) -> _Draw:
    random = np.random.default_rng([1, seed])
    few, _ = balanced(pool, FEW, random)
    kept, held_out = balanced(few, KEPT, random)
    scratch = new_weights(seed + 1)
    return _Draw(seed, few, kept, held_out, scratch, with_backbone(scratch, backbone))


def _measured(
    framework: Framework,
    way: Way,
    settings: Settings,
    *,
    draws: list[_Draw],
    test: Digits,
    advance: Advance,
    runs: Path | None,
) -> Result:
    advance(way.name, 0)
    trainer = None if way.rules is None else framework.trainer(way.rules, settings.steps)
    run = None if runs is None else runs / way.folder
    findings = []
    for draw in draws:
        findings.append(_searched(framework, trainer, draw.start(way), draw, settings))
        advance(way.name, settings.searched(way))
    rates, reached = _rates(way, findings), []
    for draw, finding, rate in zip(draws, findings, rates, strict=True):
        rules = finding.rules if isinstance(finding, RatesFinding) else way.rules or {}
        fine_tuner = trainer or framework.trainer(rules, settings.steps)
        seen = draw.seen(draw.few, settings.steps)
        kept_in = run if draw is draws[0] else None
        weights = fine_tuner.train(draw.start(way), rate, seen, kept_in)
        reached.append(Reached(finding, rules, rate, *evaluated(framework, weights, test)))
        advance(way.name, settings.steps)
    result = Result(way, tuple(reached))
    if run is not None:
        plan = framework.plan(reached[0].rules, reached[0].rate, settings.steps)
        _record(run, result, plan, settings.steps)
    return result


def _searched(
    framework: Framework,
    trainer: Trainer | None,
    start: Weights,
    draw: _Draw,
    settings: Settings,
) -> LRFinding | RatesFinding:
    """What is found in a draw: the trainer's base rate, or without one a rate for each layer."""
    if trainer is None:
        steps = max(settings.steps, _SHORTEST)
        return framework.find_rates(start, draw.few, steps, settings.budget)
    seen = draw.seen(draw.kept, settings.sweep)
    return trainer.find(start, seen, draw.held_out, settings.sweep)


def _rates(way: Way, findings: Sequence[LRFinding | RatesFinding]) -> list[float]:
    """The base rate of each draw; where none was found, the geometric mean of the others."""
    found = [f.suggestion if isinstance(f, LRFinding) else f.learning_rate for f in findings]
    known = [rate for rate in found if rate is not None]
    if not known:
        raise FinderError(f"No rate is found for {way.name}. {findings[0].reason}")
    return [geometric_mean(known) if rate is None else rate for rate in found]


def _record(run: Path, result: Result, plan: Plan, steps: int) -> None:
    """Add to the record of the first draw, after all of its batches, what was found and reached."""
    first = result.draws[0]
    metrics = {
        "val_accuracy": first.accuracy,
        "val_mean_accuracy": result.accuracy,
        "val_mean_loss": result.loss,
    }
    with Recorder(run) as recorder:
        recorder.resume(steps)
        recorder.log_epoch(0, step=steps, metrics=metrics)
        recorder.save_finding(first.finding)
        recorder.save_plan(plan)
