"""search: a sweep, a suggestion, and everything as it was."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Literal

from layerwise.errors import FinderError
from layerwise.finder._batches import Batches
from layerwise.finder._finding import LRFinding
from layerwise.finder._probe import most_held_out, probe
from layerwise.finder._progress import progress_bar
from layerwise.finder._suggestion import Suggestion
from layerwise.finder._sweep.classical_rules import candidates
from layerwise.finder._sweep.curve import from_curve
from layerwise.finder._sweep.smoothing import smooth
from layerwise.finder._sweep.stop import StopName, StopRule, stop_rule
from layerwise.finder._sweep.sweep import Spacing, Sweep, SweepRange, is_whole, run_sweep
from layerwise.finder._trainer import Trainer

Method = Literal["probe", "sweep"]

PROBING = 2  # times the sweep's updates, at most
SMOOTHING = 2.0


def search(
    trainer: Trainer,
    batches: Iterable[Any],
    *,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    spacing: Spacing = "geometric",
    method: Method = "probe",
    horizon: int | None = None,
    held_out: Iterable[Any] | None = None,
    stop: StopName | StopRule = "diverged",
    smoothing: float = SMOOTHING,
    progress: bool = True,
    group_factors: Mapping[str, float] | None = None,
) -> LRFinding:
    """Search a base rate to train with, and leave everything as it was.

    A sweep trains one update at each of many rising rates. From the same start, probes then train
    for a short while at a few rates that the sweep leaves possible. The batches of the sweep are
    kept for them, so that all see equal data.

    Args:
        trainer: What trains, by the three methods of ``Trainer``.
        batches: What to train on; what can be gone through again starts again at its end.
        low: The sweep's first rate, above 0.
        high: Its last rate, above ``low``.
        steps: Its number of updates, at least 10. Probing takes at most twice as many.
        spacing: ``"geometric"`` or ``"linear"``.
        method: ``"probe"``, or ``"sweep"`` for a rule that needs the sweep alone.
        horizon: How many updates the training is going to have, if known.
        held_out: Batches to score the probes on, for data so small that a probe goes through it
            more than once; they are trained on at rate 0. Of many, the first few are taken.
        stop: When the sweep ends early: ``"diverged"``, ``"doubled"`` (over twice the first
            loss), ``"never"``, or a function of the smoothed losses so far.
        smoothing: The width of the smoothing in points, at least 0.
        progress: Whether to draw a progress bar on standard error.
        group_factors: By what each group's rate is multiplied, by name, for the result.

    Returns:
        The curve, the suggestion, and why.

    Raises:
        FinderError: An argument that can't be honoured, or no batch at all.

    Examples:
        >>> from layerwise.finder import QuadraticTrainer
        >>> found = search(QuadraticTrainer(), range(500), progress=False)
        >>> 0.05 < found.suggestion < 2
        True
    """
    wanted = SweepRange(low, high, steps, spacing)
    rule = stop_rule(stop)
    smooth([], smoothing)  # refuses a width that is none
    if method not in ("probe", "sweep"):
        raise FinderError(f"method={method!r}: choose 'probe' or 'sweep'.")
    if horizon is not None and (not is_whole(horizon) or horizon < 1):
        raise FinderError(
            f"horizon={horizon!r}: the number of updates that you are going to train, or None."
        )
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
        with progress_bar(steps + budget, progress) as seen:
            sweep = run_sweep(trainer.train, drawn, wanted.rates, rule, seen)
            if method == "probe":
                suggestion = probe(
                    trainer.train,
                    lambda: trainer.restore(start),
                    drawn,
                    sweep,
                    budget=budget,
                    horizon=horizon,
                    held_out=score_batches,
                    seen=seen,
                )
            else:
                suggestion = from_curve(sweep)
    finally:
        trainer.restore(start)
    return finding(sweep, suggestion, method, smoothing, group_factors)


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
