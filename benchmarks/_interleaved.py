"""Ratios of times that were taken in turns, a round of all candidates after the other."""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from layerwise.finder import tracked

SIZES = ((64, 4), (256, 8), (512, 16))
"""Width and depth of the networks on which the finders are timed."""


def ratio(times: list[float], plain: list[float]) -> dict[str, float]:
    """Median and quartiles of the ratio within each round."""
    ratios = sorted(a / b for a, b in zip(times, plain, strict=True))
    if len(ratios) < 4:
        return {"median": statistics.median(ratios), "low": ratios[0], "high": ratios[-1]}
    low, _, high = statistics.quantiles(ratios, n=4)
    return {"median": statistics.median(ratios), "low": low, "high": high}


def text(measured: dict[str, float]) -> str:
    """A ratio as tables show it."""
    return f"{measured['median']:.3f} ({measured['low']:.3f} to {measured['high']:.3f})"


def parsed(parser: argparse.ArgumentParser, **quick: float) -> argparse.Namespace:
    """The options of a benchmark, with ``--quick``.

    Args:
        parser: Knows its options; their defaults are those of a long run.
        quick: The defaults of a quick run.
    """
    shown = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in quick.items())
    parser.add_argument("--quick", action="store_true", help=f"a first look: {shown}")
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(**quick)
    return parser.parse_args()


def page(title: str, columns: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Print ratios as a table of ``docs/cost.md``: a line for each candidate, the spread behind.

    Args:
        title: What was measured.
        columns: For each column the ratio of each candidate.
    """
    names = list(next(iter(columns.values())))
    print(f"\n{title}\n\n| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name in names:
        cells = [
            f"{m['median']:.2f} ({m['low']:.2f} to {m['high']:.2f})"
            for m in (column[name] for column in columns.values())
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    print(flush=True)


def seconds(function: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(candidates: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each candidate in each round, in an order that is shuffled every round.

    Each goes once before, so that every state is made and every cache is warm.
    """
    order = random.Random(0)
    for run in candidates.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in tracked(range(rounds), "rounds"):
        for name in order.sample(list(candidates), len(candidates)):
            taken[name].append(seconds(candidates[name]))
    return taken


def sweeps(ways: Callable[[int, int, int], dict[str, Callable[[], Any]]], doc: str | None) -> None:
    """The command of a benchmark of sweeps against plain steps.

    Args:
        ways: Of a width, a depth and a number of steps, what ``"ours"`` and ``"plain"`` do.
        doc: What ``--help`` says.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    asked = parsed(parser, rounds=4, steps=60)
    for width, depth in SIZES:
        candidates = ways(width, depth, asked.steps)
        candidates = {
            "plain": candidates["plain"],
            "plain again": candidates["plain"],
            "a sweep": candidates["ours"],
        }
        taken = in_turns(candidates, asked.rounds)
        ratios = {name: ratio(times, taken["plain"]) for name, times in taken.items()}
        page(f"{depth} layers of {width}", {"sweep / plain": ratios})
