"""Trains every way in several draws, at the rates that the finder suggests for it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from layerwise.demo._digits import Digits, balanced, mnist_digits, uci_digits
from layerwise.demo._network import (
    Framework,
    Weights,
    accuracy,
    in_batches,
    new_weights,
    with_backbone,
)
from layerwise.demo._ways import LAYERWISE, WAYS, Way
from layerwise.errors import FinderError
from layerwise.finder import LRFinding, RatesFinding
from layerwise.multipliers import Plan, Rules
from layerwise.recorder import Recorder

FEW = 10  # labelled images of each class
KEPT = 7  # of them train while base rates are searched; the other three score
POOL = 80  # images of each class to draw the few from; all others are the test

Advance = Callable[[str, int], None]

_SHORTEST = 10  # updates: a search for rates takes no shorter training


@dataclass(frozen=True)
class Settings:
    """How much to train.

    Attributes:
        seeds: How many draws of few labels; each has a new head and a new order of batches.
        steps: Optimizer updates of each fine-tuning.
        tries: In how many draws the finder is asked at most.
        sweep: Optimizer updates of the finder's sweep; its probes take up to twice as many.
        pretraining: Optimizer updates of the pretraining.
        budget: Optimizer updates of a search for the rates of all layers, at most.
    """

    seeds: int = 8
    steps: int = 250
    tries: int = 3
    sweep: int = 100
    pretraining: int = 1500
    budget: int = 1500

    @property
    def tried(self) -> int:
        """In how many draws the finder is asked."""
        return min(self.tries, self.seeds)

    @property
    def updates(self) -> int:
        """Optimizer updates in all, at most."""
        finding = self.tried * sum(map(self.searched, WAYS))
        return self.pretraining + finding + len(WAYS) * self.seeds * self.steps

    def searched(self, way: Way) -> int:
        """Optimizer updates of one search for a way, at most."""
        return self.budget if way.rules is None else 3 * self.sweep


@dataclass(frozen=True)
class Result:
    """What one way reached.

    Attributes:
        way: The way.
        findings: What the finder found in each draw in which it was asked; what ``find_rates``
            found if the way has no rules of its own.
        accuracies: The test accuracy in each draw, after training on all of the few labels.
    """

    way: Way
    findings: tuple[LRFinding | RatesFinding, ...]
    accuracies: tuple[float, ...]

    @property
    def suggestions(self) -> tuple[float, ...]:
        """The rates that the finder suggested."""
        found = (
            f.suggestion if isinstance(f, LRFinding) else f.learning_rate for f in self.findings
        )
        return tuple(rate for rate in found if rate is not None)

    @property
    def found(self) -> RatesFinding | None:
        """What was found for all layers, of several findings that of the middle tilt."""
        known = [f for f in self.findings if isinstance(f, RatesFinding) and f.learning_rate]
        known.sort(key=lambda finding: (finding.tilt, finding.learning_rate))
        return known[len(known) // 2] if known else None

    @property
    def rules(self) -> Rules:
        """Which weights learn how fast."""
        found = self.found
        return (self.way.rules or {}) if found is None else found.rules

    @property
    def rate(self) -> float:
        """The base rate: the geometric mean of the suggestions, or that of the middle finding."""
        if self.found is not None and self.found.learning_rate is not None:
            return self.found.learning_rate
        return float(np.exp(np.mean(np.log(self.suggestions))))

    @property
    def mean(self) -> float:
        """The mean accuracy over the draws."""
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float | None:
        """The standard deviation over the draws; None for a single one."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else None


@dataclass(frozen=True)
class Comparison:
    """The results of all ways.

    Attributes:
        backend: What it ran on: Keras' backend, ``torch-native`` or ``optax``.
        settings: How much was trained.
        tested: How many images the test has.
        results: A result for each way, in the order of ``WAYS``.
        plan: The plan of the layer-wise way, with the base rate that it was trained at.
    """

    backend: str
    settings: Settings
    tested: int
    results: tuple[Result, ...]
    plan: Plan

    @property
    def found(self) -> RatesFinding:
        """What the search for the rates of all layers found."""
        [found] = [result.found for result in self.results if result.found is not None]
        return found

    @property
    def ranking(self) -> tuple[Result, ...]:
        """The results, best mean accuracy first."""
        return tuple(sorted(self.results, key=lambda result: -result.mean))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data that JSON takes."""
        ways = [
            {
                "way": result.way.name,
                "rules": repr(dict(result.found.rules) if result.found else result.rules),
                "pretrained": result.way.pretrained,
                "suggestions": list(result.suggestions),
                "rate": result.rate,
                "accuracies": list(result.accuracies),
                "mean": result.mean,
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
            plan, and the accuracy in this draw and in the mean of all.

    Returns:
        The results. The test has no image on which a rate was searched or a network trained.

    Raises:
        FinderError: The finder suggests no rate for a way.
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
    [rate] = [result.rate for result in results if result.way is LAYERWISE]
    plan = framework.plan(LAYERWISE.rules or {}, rate, settings.steps)
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
    findings: list[LRFinding | RatesFinding] = []
    for draw in draws[: settings.tried]:
        start = draw.start(way)
        if trainer is None:
            few, budget = draw.few, settings.budget
            steps = max(settings.steps, _SHORTEST)
            findings.append(framework.find_rates(start, few, steps, budget))
        else:
            seen = draw.seen(draw.kept, settings.sweep)
            findings.append(trainer.find(start, seen, draw.held_out, settings.sweep))
        advance(way.name, settings.searched(way))
    found = Result(way, tuple(findings), ())
    if not found.suggestions:
        raise FinderError(f"The finder suggests no rate for {way.name}. {findings[0].reason}")
    trainer = trainer or framework.trainer(found.rules, settings.steps)
    run = None if runs is None else runs / way.folder
    accuracies = []
    for draw in draws:
        seen = draw.seen(draw.few, settings.steps)
        kept_in = run if draw is draws[0] else None
        weights = trainer.train(draw.start(way), found.rate, seen, kept_in)
        accuracies.append(accuracy(framework, weights, test))
        advance(way.name, settings.steps)
    measured = replace(found, accuracies=tuple(accuracies))
    if run is not None:
        with Recorder(run) as recorder:
            reached = {"val_accuracy": accuracies[0], "val_mean_accuracy": measured.mean}
            recorder.resume(settings.steps)  # after all of its batches
            recorder.log_epoch(0, step=settings.steps, metrics=reached)
            recorder.save_finding(found.found or findings[0])
            recorder.save_plan(framework.plan(found.rules, found.rate, settings.steps))
    return measured
