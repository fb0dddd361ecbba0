"""Our own suggestion: short trainings from the same start, compared on the same batches.

A sweep trains one update at each rate, on weights that all the rates before have moved: it shows
where training breaks, and little of what a rate is worth. So from the same start, and on the same
batches, *probes* train for a short while at a few rates. Hardly anything is learnt at a probe's
end, so the losses there, taken before each update, are held out from it at no cost: they are its
score, unless there is data to score on. Too low a rate does not get far, too high a rate breaks or
ends in noise.

**How long the training is.** What is wanted is the best rate of a training that may be a hundred
times as long as a probe. What goes wrong with high rates goes wrong slowly: the longer they are
held, the more trainings break. So a probe holds its rate for three quarters of its length, and
then takes it down to 0 in a line, so that what noise the rate left behind is gone, as it is after
a real training. A probe that falls along a cosine from its first step holds its rate for a
fraction of that, and prefers rates that longer trainings don't survive.

**Which rates.** The first is where the sweep has done most of its fall. From there it goes half a
decade at a time in the direction that gets better, until the best has a worse one on both sides,
and then between them; nothing above a rate that breaks is trusted (``._walk``). A parabola
through the best and its neighbours, over the logarithm of the rate, has the answer at its lowest
point.

``benchmarks/finder`` measures how good the answer is.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from layerwise.finder._batches import Batches, DataEnded
from layerwise.finder._finding import Probe
from layerwise.finder._line_search import STEP, censored, lowest, next_place
from layerwise.finder._suggestion import Suggestion
from layerwise.finder._sweep.curve import from_curve
from layerwise.finder._sweep.stop import RunningAverage, diverged
from layerwise.finder._sweep.sweep import Sweep

Floats = npt.NDArray[np.float64]

PROBES = 4  # for which the budget is enough
MOST = 8  # where some end early
HELD = 0.75  # the share of a probe that holds its rate
TAIL = 0.15  # the share of a probe whose losses are its score
SHORTEST = 10  # updates of a probe
CHANCE = 2.5  # standard errors: falling by less is chance
TRACE = 0.1  # of how the losses of batches differ: falling by less is not worth a training


def probe(
    train: Callable[[Any, float], float],
    start: Callable[[], None],
    batches: Batches,
    sweep: Sweep,
    *,
    budget: int,
    horizon: int | None = None,
    held_out: Sequence[Any] = (),
    seen: Callable[[], None] = lambda: None,
) -> Suggestion:
    """Probes from the sweep's guess to the best rate, and from their length to the training's.

    Args:
        train: Trains one batch at a rate and gives its loss.
        start: Puts everything back to where the sweep began.
        batches: What to train on.
        sweep: What the sweep saw.
        budget: How many updates all probes may take.
        horizon: How many updates the training is going to have, if known.
        held_out: Batches to score on, at most as many as ``most_held_out`` says.
        seen: Called after each update.

    Returns:
        The suggestion; without a rate where no probe learns anything, with the reason.
    """
    if not any(map(math.isfinite, sweep.losses)):
        return Suggestion(None, "Every loss of the sweep was NaN or infinite.")
    guess = from_curve(sweep)
    length = _length(batches, budget, horizon, len(held_out))
    if length < SHORTEST:
        return Suggestion(
            guess.rate,
            f"{guess.reason} Probes of only {length} updates would show noise, so there were "
            "none: sweep more steps, or pass more batches.",
        )
    spent = 0

    def counted(batch: Any, rate: float) -> float:
        nonlocal spent
        spent += 1
        loss = float(train(batch, rate))
        seen()
        return loss

    start()
    tail = length - _tail(length)
    score_batches = held_out or [batches[number] for number in range(tail, length)]
    untrained = np.array([counted(batch, 0.0) for batch in score_batches])
    if not np.isfinite(untrained).all():
        return Suggestion(None, "Losses are NaN or infinite before any training.", (), spent)
    worst = float(untrained.mean())

    # Where the curve shows nothing, well below where it ended.
    first = guess.rate if guess.rate is not None else sweep.rates[-1] / 100
    highest = sweep.rates[-1]
    ceiling = math.log10(highest / first) + STEP  # what is behind the end tells how near it to go
    place, scores = 0.0, dict[float, float]()
    ends, probes = dict[float, Floats](), list[Probe]()
    while budget - spent >= length + len(held_out) and len(probes) < MOST:
        start()
        rate, before = first * 10**place, spent
        losses = _train(counted, batches, rate, length)
        whole = len(losses) == length
        if whole and held_out:
            ended = np.array([counted(batch, 0.0) for batch in held_out])
        else:
            ended = np.array(losses[tail:])
        whole = whole and bool(np.isfinite(ended).all())
        scores[place] = float(ended.mean()) if whole else math.inf
        probes.append(Probe(rate, scores[place], spent - before))
        ends[place] = ended
        place = next_place(scores, worst, ceiling)
    stable = censored(scores)
    best = min(stable, key=stable.__getitem__)
    # The lowest may owe it to one batch where another, that is no better, falls on all of them.
    if not any(_learnt(untrained, ends[at]) for at in stable if math.isfinite(stable[at])):
        return Suggestion(None, _nothing(probes, length), tuple(probes), spent)

    rate = min(first * 10 ** lowest(scores, worst), highest)
    reason = (
        f"Of {len(probes)} probes of {length} updates the one at {first * 10**best:.3g} ended with "
        f"the lowest loss, {stable[best]:.4g}, from {worst:.4g} untrained; a parabola through it "
        f"and its neighbours is lowest at {rate:.3g}."
    )
    return Suggestion(rate, reason, tuple(probes), spent)


def most_held_out(budget: int) -> int:
    """How many batches may be scored on, so that this takes at most a quarter of the budget."""
    return budget // (4 * (PROBES + 1))


def _length(batches: Batches, budget: int, horizon: int | None, scored_on: int) -> int:
    """Of each probe: all of them, and what scores the untrained network, fit into the budget."""
    length = int(budget / (PROBES + TAIL))
    if scored_on:
        length = (budget - (PROBES + 1) * scored_on) // PROBES
    if horizon is not None:
        length = min(length, horizon)
    try:
        batches[max(length - 1, 0)]
    except DataEnded:
        length = min(length, len(batches))
    return length


def _tail(length: int) -> int:
    return max(round(TAIL * length), 2)


def _train(
    counted: Callable[[Any, float], float], batches: Batches, rate: float, length: int
) -> list[float]:
    """The losses of a probe; it ends early where training broke."""
    losses: list[float] = []
    average = RunningAverage()
    falling = max(length - round(HELD * length), 1)
    for number in range(length):
        factor = min(1.0, (length - number) / falling)
        losses.append(counted(batches[number], rate * factor))
        smoothed = average.add(losses[-1])
        if not math.isfinite(losses[-1]) or diverged(smoothed):
            break
    return losses


def _learnt(untrained: Floats, trained: Floats) -> bool:
    """Whether the losses fell, batch for batch, by more than chance and by more than a trace."""
    gains = untrained - trained
    spread = float(gains.std(ddof=1)) if len(gains) > 1 else 0.0
    chance = CHANCE * spread / math.sqrt(len(gains))
    trace = TRACE * max(float(untrained.std()), abs(float(untrained.mean())) / 1000)
    return bool(gains.mean() > max(chance, trace))


def _nothing(probes: Sequence[Probe], length: int) -> str:
    rates = [done.rate for done in probes]
    return (
        f"Nothing to gain: {len(probes)} probes of {length} updates, from {min(rates):.2g} to "
        f"{max(rates):.2g}, ended with no clearly lower loss than without training. The network "
        "may be trained already, or need more updates than that to begin with: sweep more steps."
    )
