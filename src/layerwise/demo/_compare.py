"""Every way trained in several draws, its base rate chosen on labels held out from the few."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from layerwise.demo._digits import Digits, balanced, mnist_digits, uci_digits
from layerwise.demo._network import Framework, Weights, accuracy, new_weights, with_backbone
from layerwise.demo._ways import LAYERWISE, WAYS, Way
from layerwise.multipliers import Plan

FEW = 10  # labelled images of each class
KEPT = 7  # of them, while base rates are tried; the other three score
POOL = 80  # of each class, from which the few are drawn; all others are the test

Advance = Callable[[str, int], None]


@dataclass(frozen=True)
class Settings:
    """How much to train.

    Attributes:
        seeds: Draws of few labels, each with its own new head and order of batches.
        steps: Optimizer updates in each fine-tuning.
        rates: The base rates to choose from, ascending.
        tries: In how many of the draws each rate is tried.
        pretraining: Optimizer updates of the pretraining.
    """

    seeds: int = 8
    steps: int = 250
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    tries: int = 3
    pretraining: int = 1500

    @property
    def tried(self) -> int:
        """In how many draws each rate is tried: there may be fewer than ``tries``."""
        return min(self.tries, self.seeds)

    @property
    def updates(self) -> int:
        """Optimizer updates in all."""
        runs = len(WAYS) * (len(self.rates) * self.tried + self.seeds)
        return self.pretraining + runs * self.steps


@dataclass(frozen=True)
class Result:
    """What one way reached.

    Attributes:
        way: Which one.
        held_out: The mean accuracy on held-out labels with each rate of the settings.
        rate: The base rate with the best of these; of equals the lowest.
        accuracies: The accuracy on the test in each draw, trained on all the few.
    """

    way: Way
    held_out: tuple[float, ...]
    rate: float
    accuracies: tuple[float, ...]

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
    """All that was measured.

    Attributes:
        backend: What it ran on: Keras' backend, or a framework of its own.
        settings: How much was trained.
        tested: On how many images.
        results: One for each way, in the order of ``WAYS``.
        plan: The plan of the layer-wise way with the base rate it was trained at.
    """

    backend: str
    settings: Settings
    tested: int
    results: tuple[Result, ...]
    plan: Plan

    @property
    def ranking(self) -> tuple[Result, ...]:
        """The results, best mean accuracy first."""
        return tuple(sorted(self.results, key=lambda result: -result.mean))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data that JSON takes."""
        ways = [
            {
                "way": result.way.name,
                "multipliers": result.way.rules,
                "pretrained": result.way.pretrained,
                "held_out": list(result.held_out),
                "rate": result.rate,
                "accuracies": list(result.accuracies),
                "mean": result.mean,
                "spread": result.spread,
            }
            for result in self.results
        ]
        settings = asdict(self.settings) | {"rates": list(self.settings.rates)}
        head = {"backend": self.backend, "settings": settings, "tested": self.tested}
        return head | {"ways": ways, "plan": self.plan.to_dict()}


@dataclass(frozen=True, eq=False)
class _Draw:
    """Few labels, and the two sets of weights to start from."""

    seed: int
    few: Digits
    kept: Digits
    held_out: Digits
    scratch: Weights
    pretrained: Weights

    def start(self, way: Way) -> Weights:
        return self.pretrained if way.pretrained else self.scratch

    def order(self) -> np.random.Generator:
        return np.random.default_rng([2, self.seed])


def compare(
    framework: Framework, settings: Settings, advance: Advance = lambda _name, _updates: None
) -> Comparison:
    """Pretrain on MNIST, then fine-tune on few UCI digits in every way.

    Args:
        framework: What trains.
        settings: How much to train.
        advance: Told what is being trained, and how many more updates are done.

    Returns:
        What was measured. No image on which a rate was chosen or a network trained is in the
        test.
    """
    advance("pretraining", 0)
    backbone = _pretrained(framework, settings.pretraining)
    advance("pretraining", settings.pretraining)
    pool, test = balanced(uci_digits(), POOL, np.random.default_rng(0))
    draws = [_draw(seed, pool, backbone) for seed in range(settings.seeds)]
    results = tuple(
        _measured(framework, way, settings, draws=draws, test=test, advance=advance) for way in WAYS
    )
    [rate] = [result.rate for result in results if result.way is LAYERWISE]
    plan = framework.plan(LAYERWISE.multipliers, rate, settings.steps)
    return Comparison(framework.name, settings, len(test), results, plan)


def _pretrained(framework: Framework, steps: int) -> Weights:
    random = np.random.default_rng(1)
    return framework.trainer({}, steps).train(new_weights(0), 1e-3, mnist_digits(), random)


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
) -> Result:
    advance(way.name, 0)
    trainer = framework.trainer(way.multipliers, settings.steps)

    def reached(draw: _Draw, rate: float, digits: Digits, scored_on: Digits) -> float:
        weights = trainer.train(draw.start(way), rate, digits, draw.order())
        advance(way.name, settings.steps)
        return accuracy(framework, weights, scored_on)

    held_out = tuple(
        float(np.mean([reached(d, rate, d.kept, d.held_out) for d in draws[: settings.tried]]))
        for rate in settings.rates
    )
    rate = settings.rates[int(np.argmax(held_out))]
    accuracies = tuple(reached(draw, rate, draw.few, test) for draw in draws)
    return Result(way, held_out, rate, accuracies)
