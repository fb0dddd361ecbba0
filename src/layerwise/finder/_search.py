"""search: a sweep, probes, a suggestion, and everything as it was."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Unpack

from layerwise.errors import FinderError
from layerwise.finder._batches import Batches
from layerwise.finder._course import Course, course_text, course_to_search, training_length
from layerwise.finder._finding import LRFinding
from layerwise.finder._options import SearchKeywords, SearchOptions
from layerwise.finder._probes.probe import most_held_out, probe
from layerwise.finder._progress import progress_bar
from layerwise.finder._sweep import SweepPoints, run_sweep
from layerwise.finder._trainer import Batch, State, Trainer


def search(
    trainer: Trainer[State, Batch],
    batches: Iterable[Batch],
    options: SearchOptions | None = None,
    *,
    held_out: Iterable[Batch] | None = None,
    group_factors: Mapping[str, float] | None = None,
    course: Course | None = None,
    **keywords: Unpack[SearchKeywords],
) -> LRFinding:
    """Search for a base rate to train with, and leave everything as it was.

    A sweep trains one update at each of many rising rates. From the same start, probes then train
    for a short while at a few rates that the sweep leaves possible. Sweep and probes see the same
    batches.

    Args:
        trainer: What trains, with the three methods of ``Trainer``.
        batches: What to train on. At its end, an iterable that can be iterated again starts again.
        options: How to search; by default ``SearchOptions()``.
        held_out: Batches to score the probes on; worth giving where the data is so small that a
            probe goes through it more than once. They are trained on at the rate 0. Of many
            batches, the first few are used.
        group_factors: The factor of each group's rate on the base rate, by name; it is handed on
            to the result.
        course: What the optimizer says of how its rate will go. It counts where ``options`` have
            no ``schedule``. If it can't be searched for, the reason says so.
        **keywords: Single options, such as ``steps=50``; see ``SearchOptions``. ``memory`` and
            ``accumulate`` are for ``find_lr``: a trainer of your own keeps its snapshot, and
            takes its batches, as it likes.

    Returns:
        The curve, the suggestion, and why.

    Raises:
        FinderError: An option can't be honoured, or there is no batch at all.

    Examples:
        >>> from layerwise.finder import QuadraticTrainer
        >>> found = search(QuadraticTrainer(), range(500), progress=False)
        >>> 0.05 < found.suggestion < 2
        True
    """
    options = replace(options or SearchOptions(), **keywords)
    probing = options.method == "probe"
    asked = course if options.asks_optimizer else None
    shape, note = course_to_search(options.schedule, asked, options.horizon)
    budget = options.probing(training_length(shape, options.horizon)) if probing else 0
    drawn = Batches(batches)
    points = SweepPoints(options.stop, options.smoothing)
    start = trainer.snapshot()
    try:
        score_batches = _score_batches(held_out, budget) if probing else ()
        with progress_bar(options.steps + budget, options.progress) as advance:

            def train(number: int, rate: float) -> float:
                loss = float(trainer.train(drawn[number], rate))
                advance()
                return loss

            stopped = run_sweep(options.rates, points, train)
            if probing:
                suggestion = probe(
                    trainer,
                    start,
                    drawn,
                    points,
                    budget=budget,
                    horizon=options.horizon,
                    course=shape,
                    held_out=score_batches,
                    advance=advance,
                )
            else:
                suggestion = points.suggested()
    finally:
        trainer.restore(start)
    return points.finding(
        stopped,
        replace(suggestion, reason=suggestion.reason + note),
        method=options.method,
        group_factors=group_factors,
        schedule=course_text(shape),
    )


def _score_batches(held_out: Iterable[Batch] | None, budget: int) -> tuple[Batch, ...]:
    """The held-out batches to score probes on.

    Raises:
        FinderError: There is none.
    """
    if held_out is None:
        return ()
    found = tuple(islice(held_out, most_held_out(budget)))
    if not found:
        raise FinderError(
            "held_out has no batch, or steps is too low to score on any: pass at least one batch, "
            "or None."
        )
    return found
