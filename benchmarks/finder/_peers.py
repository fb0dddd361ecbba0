"""The rules of other finders, each on the raw sweep with its own smoothing and cuts.

fastai keeps an average of the losses with memory 0.98, corrected for its start, stops at four
times its best, and leaves out the first tenth and the last five points. Lightning averages alike
(its correction is one step ahead), stops alike, leaves out ten points and one, and takes the
steepest fall over the rate itself, not its logarithm; its older versions took it from point to
point.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from layerwise.finder import minimum_over_10, slide, steepest, valley

Rule = Callable[[Any, Any], float | None]
_MEMORY = 0.98
_TOO_HIGH = 4.0


def _averaged(losses: Sequence[float], ahead: int) -> np.ndarray[Any, Any]:
    average, smoothed, best = 0.0, [], np.inf
    for step, loss in enumerate(losses, 1):
        average = _MEMORY * average + (1 - _MEMORY) * loss
        smoothed.append(average / (1 - _MEMORY ** (step + ahead)))
        if smoothed[-1] > _TOO_HIGH * best:
            break
        best = min(best, smoothed[-1])
    return np.array(smoothed)


def _fastai(rule: Rule) -> Callable[[Sequence[float], Sequence[float]], float | None]:
    def suggest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
        smoothed = _averaged(losses, ahead=0)
        count = len(smoothed)
        kept = slice(len(rates) // 10, count - 5)
        x, y = np.asarray(rates)[:count][kept], smoothed[kept]
        broken = np.flatnonzero(np.isnan(y))
        end = broken[0] if len(broken) else len(y)
        return rule(x[:end], y[:end])

    return suggest


def _lightning(over_rates: bool) -> Callable[[Sequence[float], Sequence[float]], float | None]:
    def suggest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
        smoothed = _averaged(losses, ahead=1)
        kept = slice(10, len(smoothed) - 1)
        x, y = np.asarray(rates)[: len(smoothed)][kept], smoothed[kept]
        x, y = x[np.isfinite(y)], y[np.isfinite(y)]
        if len(y) < 2:
            return None
        slopes = np.gradient(y, x) if over_rates else np.gradient(y)
        return float(x[slopes.argmin()])

    return suggest


PEERS = {
    "fastai steepest": _fastai(steepest),
    "fastai minimum / 10": _fastai(minimum_over_10),
    "fastai valley": _fastai(valley),
    "fastai slide": _fastai(slide),
    "Lightning": _lightning(over_rates=True),
    "Lightning, older": _lightning(over_rates=False),
}
