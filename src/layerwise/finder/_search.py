"""search: a sweep, a suggestion, and everything as it was."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Unpack

from layerwise.errors import FinderError
from layerwise.finder._batches import Batches
from layerwise.finder._finding import LRFinding
from layerwise.finder._options import Method, SearchKeywords, SearchOptions
from layerwise.finder._probe import most_held_out, probe
from layerwise.finder._progress import progress_bar
from layerwise.finder._suggestion import Suggestion
from layerwise.finder._sweep.classical_rules import candidates
from layerwise.finder._sweep.curve import from_curve
from layerwise.finder._sweep.smoothing import smooth
from layerwise.finder._sweep.stop import stop_rule
from layerwise.finder._sweep.sweep import Sweep, run_sweep
from layerwise.finder._trainer import Trainer

PROBING = 2  # times the sweep's updates, at most
SMOOTHING = 2.0


def search(
    trainer: Trainer,
    batches: Iterable[Any],
    options: SearchOptions | None = None,
    *,
    held_out: Iterable[Any] | None = None,
    group_factors: Mapping[str, float] | None = None,
    **keywords: Unpack[SearchKeywords],
) -> LRFinding:
    """Search a base rate to train with, and leave everything as it was.

    A sweep trains one update at each of many rising rates. From the same start, probes then train
    for a short while at a few rates that the sweep leaves possible. The batches of the sweep are
    kept for them, so that all see equal data.

    Args:
        trainer: What trains, by the three methods of ``Trainer``.
        batches: What to train on; what can be gone through again starts again at its end.
        options: How to search; by default ``SearchOptions()``.
        held_out: Batches to score the probes on, for data so small that a probe goes through it
            more than once; they are trained on at rate 0. Of many, the first few are taken.
        group_factors: The factor of each group's rate on the base rate, by name; it is handed on
            to the result.
        keywords: Single options, such as ``steps=50``; see ``SearchOptions``. ``memory`` and
            ``accumulate`` are for ``find_lr``: a trainer of your own copies its state and takes
            its batches as it likes.

    Returns:
        The curve, the suggestion, and why.

    Raises:
        FinderError: An option that can't be honoured, or no batch at all.

    Examples:
        >>> from layerwise.finder import QuadraticTrainer
        >>> found = search(QuadraticTrainer(), range(500), progress=False)
        >>> 0.05 < found.suggestion < 2
        True
    """
    wanted = replace(options or SearchOptions(), **keywords)
    steps, method = wanted.steps, wanted.method
    budget = PROBING * steps if method == "probe" else 0
    drawn = Batches(batches)
    start = trainer.snapshot()
    try:
        score_batches = (
            tuple(islice(held_out, most_held_out(budget))) if held_out is not None else ()
        )
        if held_out is not None and method == "probe" and not score_batches:
            raise FinderError(
                "held_out has no batch, or steps is too low to score on any: pass at least one "
                "batch, or None."
            )
        with progress_bar(steps + budget, wanted.progress) as seen:
            sweep = run_sweep(trainer.train, drawn, wanted.rates, stop_rule(wanted.stop), seen)
            if method == "probe":
                suggestion = probe(
                    trainer.train,
                    lambda: trainer.restore(start),
                    drawn,
                    sweep,
                    budget=budget,
                    horizon=wanted.horizon,
                    held_out=score_batches,
                    seen=seen,
                )
            else:
                suggestion = from_curve(sweep)
    finally:
        trainer.restore(start)
    return finding(sweep, suggestion, method, wanted.smoothing, group_factors)


def finding(
    sweep: Sweep,
    suggestion: Suggestion,
    method: Method = "sweep",
    smoothing: float = SMOOTHING,
    group_factors: Mapping[str, float] | None = None,
) -> LRFinding:
    """The result of a sweep and what was made of it.

    Args:
        sweep: What the sweep saw.
        suggestion: The answer.
        method: How it was found.
        smoothing: The width of the smoothing in points.
        group_factors: By what each group's rate is multiplied.

    Returns:
        The finding.
    """
    smoothed = smooth(sweep.losses, smoothing)
    return LRFinding(
        rates=sweep.rates,
        losses=sweep.losses,
        smoothed=tuple(smoothed.tolist()),
        stopped=sweep.stopped,
        suggestion=suggestion.rate,
        method=method,
        reason=suggestion.reason,
        candidates=candidates(sweep.rates, smoothed),
        probes=suggestion.probes,
        updates=len(sweep.rates) + suggestion.updates,
        group_factors=group_factors or {},
    )
