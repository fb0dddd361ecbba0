"""Our own suggestion: short trainings from the same start, compared on the same batches."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from layerwise.finder._batches import Batches, DataEnded
from layerwise.finder._curve import from_curve
from layerwise.finder._finding import Probe
from layerwise.finder._suggestion import Suggestion
from layerwise.finder._sweep import Sweep


def probe(
    train: Callable[[Any, float], float],
    start: Callable[[], None],
    batches: Batches,
    sweep: Sweep,
    *,
    budget: int,
    horizon: int | None = None,
    seen: Callable[[], None] = lambda: None,
) -> Suggestion:
    """Five probes around a third of the sweep's best rate; the parabola of the best three.

    Args:
        train: Trains one batch at a rate and gives its loss.
        start: Puts everything back to where the sweep began.
        batches: What to train on.
        sweep: What the sweep saw.
        budget: How many updates all probes may take.
        horizon: How many updates the training is going to have, if known.
        seen: Called after each update.

    Returns:
        The suggestion.
    """
    del horizon
    guess = from_curve(sweep)
    if guess.rate is None:
        return guess
    length = budget // 5
    probes = []
    for place in range(-2, 3):
        rate = guess.rate * 10 ** (0.5 * place)
        start()
        losses: list[float] = []
        for number in range(length):
            decay = min(1.0, 2 * (length - number) / length)
            try:
                losses.append(train(batches[number], rate * decay))
            except DataEnded:
                break
            seen()
            if not math.isfinite(losses[-1]):
                break
        score = float(np.mean(losses[-max(1, length // 6) :]))
        probes.append(Probe(rate, score if math.isfinite(score) else math.inf, len(losses)))
    best = min(probes, key=lambda p: p.score)
    return Suggestion(
        best.rate, "The best of five probes.", tuple(probes), sum(p.updates for p in probes)
    )
