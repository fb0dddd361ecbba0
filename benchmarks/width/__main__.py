"""The best rates of networks of many widths, as they are and with ``width_scaling``.

    python -m benchmarks.width                  # all of it, hours on two cores
    python -m benchmarks.width --networks plain --widths 64 256
    python -m benchmarks.width --picture docs/images/width-scaling.png

Each network trains on English for a fixed number of updates, under a cosine that goes to 0. The
best rate is that of the lowest loss on text that it did not see, on a grid of factors of two that
is walked until the lowest lies between two others, and then a parabola through these three. Then
``find_lr`` looks for the rate at the smallest width, and the widest network is trained with it.
Results are added to ``benchmarks/results/width.json`` as they come, and what is there is kept.
"""

import argparse
import itertools
import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.finder import _data
from benchmarks.width._best import best_power
from benchmarks.width._networks import BASE, LENGTH, NETWORKS, made, optimizer_of, seeds_of
from layerwise import cosine
from layerwise.torch import ScheduleLR, find_lr

RESULTS = Path(__file__).parents[1] / "results" / "width.json"
STEPS = 100
FIRST = {"adam": -8, "sgd": -3}  # powers of two


@cache
def windows() -> tuple[torch.Tensor, torch.Tensor]:
    """Windows of English to train on, and others from its end."""
    codes = torch.as_tensor(_data.characters(_data.english(), LENGTH, 3), dtype=torch.long)
    last = len(codes) * 9 // 10
    order = torch.as_tensor(np.random.default_rng(0).permutation(len(codes) - last))
    return codes[: last - LENGTH], codes[last + order]


def batches(network: str, seed: int, count: int) -> Iterator[torch.Tensor]:
    """The batches of a training, the same for all rates."""
    known = windows()[0]
    order = np.random.default_rng(seed)
    for _ in range(count):
        places = order.integers(len(known), size=NETWORKS[network].batch)
        yield known[torch.as_tensor(places)]


def held_out_loss(network: str, model: Any) -> float:
    """The loss on text that was not trained on."""
    with torch.no_grad():
        return float(model.loss(windows()[1][: NETWORKS[network].held_out]))


def trained(network: str, family: str, scaled: bool, width: int, rate: float) -> float:
    """The loss after a training; infinite if it diverged."""
    losses = []
    for seed in seeds_of(network, width):
        model = made(network, width, seed)
        optimizer = optimizer_of(model, network, family, scaled)
        scheduler = ScheduleLR(optimizer, rate * cosine(STEPS))
        for batch in batches(network, seed, STEPS):
            optimizer.zero_grad()
            loss = model.loss(batch)
            if not math.isfinite(loss.item()):
                return math.inf
            loss.backward()
            optimizer.step()
            scheduler.step()
        losses.append(held_out_loss(network, model))
    found = float(np.mean(losses))
    return found if math.isfinite(found) else math.inf


class Results:
    """The figures so far, by network, family, way and width, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def losses(self, *names: object) -> dict[str, float]:
        """The losses by the power of two, to be added to."""
        found = self.data
        for name in names:
            found = found.setdefault(str(name), {})
        return found

    def save(self) -> None:
        """Write the figures."""
        self.path.write_text(json.dumps(self.data, indent=1, allow_nan=True) + "\n")


def searched(results: Results, network: str, family: str, scaled: bool, width: int) -> float:
    """The power of two of the best rate, after a walk down to the lowest loss."""
    way = "scaled" if scaled else "as it is"
    narrower = results.data.get(network, {}).get(family, {}).get(way, {})
    known = results.losses(network, family, way, width)
    if width == BASE:  # where all multipliers are 1
        known |= results.losses(network, family, "as it is", width)

    def loss(power: int) -> float:
        if str(power) not in known:
            known[str(power)] = trained(network, family, scaled, width, 2.0**power)
            results.save()
        return known[str(power)]

    before = [narrower[w] for w in sorted(narrower, key=int) if int(w) < width and narrower[w]]
    best = min(map(int, before[-1]), key=lambda p: before[-1][str(p)]) if before else FIRST[family]
    while not math.isfinite(loss(best)):
        best -= 2
    while True:
        lowest = min((best - 1, best, best + 1), key=loss)
        if lowest == best:
            return best_power(known)
        best = lowest


def transferred(results: Results, network: str, family: str, scaled: bool, widths: Any) -> None:
    """The regret of the widest network with the rate that find_lr finds for the narrowest."""
    narrow, wide = min(widths), max(widths)
    way = "scaled" if scaled else "as it is"
    facts = results.losses("transfer", network, family, way)
    if facts.get("wide") == wide:
        return
    model = made(network, narrow, 0)
    optimizer = optimizer_of(model, network, family, scaled)
    scheduler = ScheduleLR(optimizer, cosine(STEPS))

    def step(batch: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    data = list(batches(network, 0, 400))
    found = find_lr(
        model, optimizer, loader=data, step=step, scheduler=scheduler, horizon=STEPS, progress=False
    )
    known = results.losses(network, family, way, wide)
    start = held_out_loss(network, made(network, wide, 0))
    loss = trained(network, family, scaled, wide, found.suggestion)
    best = min(*known.values(), loss)
    facts |= {"narrow": narrow, "wide": wide, "rate": found.suggestion, "loss": loss}
    facts |= {"start": start, "best": best, "regret": (loss - best) / (start - best)}
    results.save()


def main() -> None:
    """Run what was asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--families", nargs="+", default=["adam", "sgd"], choices=["adam", "sgd"])
    parser.add_argument("--widths", nargs="+", type=int, default=[64, 128, 256, 512, 1024, 2048])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, help="only draw what is there")
    chosen = parser.parse_args()
    results = Results(chosen.results)
    if chosen.picture:
        from benchmarks.width._picture import draw

        draw(results.data, chosen.picture)
        return
    cases = list(itertools.product(chosen.networks, chosen.families, (False, True)))
    for width in sorted(chosen.widths):
        for network, family, scaled in cases:
            power = searched(results, network, family, scaled, width)
            way = "scaled" if scaled else "as it is"
            print(f"{network:12} {family:5} {way:9} {width:5} {2**power:.3g}", flush=True)
    for network, family, scaled in cases:
        transferred(results, network, family, scaled, chosen.widths)
    for network, family, scaled in cases:
        way = "scaled" if scaled else "as it is"
        facts = results.data["transfer"][network][family][way]
        print(f"{network:12} {family:5} {way:9} regret {facts['regret']:.3f} at {facts['wide']}")


if __name__ == "__main__":
    main()
