"""How good are the rates that finders suggest? A panel of real tasks and an oracle.

From the repository's root:

    python -m benchmarks.finder                    # everything
    python -m benchmarks.finder --part tuned --seeds 0
    python -m benchmarks.finder --tasks digits-dense photograph --optimizers adam

**Cases.** 22 tasks (``_panel.py``: classification, regression, encoding, convolutions, batch and
layer norms, deep plain networks, transformers, a recurrent network, embeddings, fine-tuning,
imbalanced and noisy labels) and 9 fresh ones (below), all on data that packages ship, with SGD,
momentum, Adam and AdamW, each with three seeds.

**Regret.** Each case is trained for 400 updates with a cosine to 0 at eight rates a decade around
the best (``_oracle.py``); the loss of the trained network is measured on a large fixed sample.

    regret = (loss trained at the suggestion - lowest loss) / (untrained loss - lowest loss)

Every loss is the mean of four trainings, which see the batches in four orders: in deep plain
networks a single one may differ by 0.05 between neighbouring rates, and the lowest of many such is
luck. ``--orders 1`` takes single ones. The loss at a suggestion is trained, not interpolated. A
suggestion that ends no better than no training, or no suggestion, has the regret 1.

**Methods.** The search that is shipped, called with its defaults through its own protocol
(``_trainer.py``); and every rule of other packages, on the same network, batches and curve, once
with our smoothing and once with their own (``_peers.py``). All sweep 100 updates from 1e-7 to 10;
our probes take at most 200 more.

**Tuning.** The 22 tasks were cut into two halves by name before anything was measured. All choices
(number, spacing and course of the probes, their score, where they begin and go) were made on the
half called tuned. The half called reported was evaluated five times: twice for probes along a
cosine, with two corrections for the length of the training (mean regret 0.0234 and 0.0142), once
for probes that hold their rate (0.0108, against single trainings), and twice for what is shipped,
where they take the upper of two gaps first and trust nothing above a rate that broke. As that is
no longer quite untouched, nine ordinary tasks were made after all choices, and evaluated once:
those called fresh. (Since then one condition was loosened: when there is no answer at all. No case
of the panel is one.)

**Other trainings.** ``--course constant`` and ``--updates 1600`` judge the rates by trainings that
hold their rate, or are longer; our search is told the first, and ``--horizon`` tells it the second.
By how much a rate that is held has to be lower than in a probe was chosen on the tuned half, from
one seed and two orders of the batches.

The oracle's trainings are kept in ``benchmarks/results/finder``, with rows and plot.
"""

import argparse
from typing import Any

import jax
import numpy as np

from layerwise.finder import tracked

from . import _methods, _report
from ._optimizers import OPTIMIZERS
from ._oracle import ORDERS, RESULTS, STEPS, Case, oracle, trained
from ._panel import PARTS, TASKS


def measure(case: Case, horizon: int | None, orders: int) -> list[dict[str, Any]]:
    """A row for each method."""
    known = oracle(case, orders=orders)
    found = _methods.answers(case, horizon)
    # A network that is not trained where there is no answer.
    rates = np.array([answer.rate or 0.0 for answer in found.values()])
    losses = trained(case, rates, orders=orders)
    return [
        {
            "case": str(case),
            "method": name,
            "rate": answer.rate,
            "best": known.best,
            "regret": known.regret(loss) if answer.rate else 1.0,
            "updates": answer.updates,
        }
        for (name, answer), loss in zip(found.items(), losses.tolist(), strict=True)
    ]


def main() -> None:
    """Measure what the command line asks for, print tables, save rows and plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--course", choices=("cosine", "constant"), default="cosine")
    parser.add_argument("--updates", type=int, default=STEPS, help="of the whole trainings")
    parser.add_argument("--horizon", type=int, help="told to our search; by default it isn't")
    parser.add_argument("--orders", type=int, default=ORDERS, help="trainings of each rate")
    asked = parser.parse_args()

    RESULTS.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(RESULTS / "compiled"))
    parts: dict[str, list[dict[str, Any]]] = {}
    for part, names in PARTS.items():
        if asked.part not in (part, "all"):
            continue
        cases = [
            Case(task, optimizer, seed, asked.course, asked.updates)
            for task in names
            if task in asked.tasks
            for seed in asked.seeds
            for optimizer in asked.optimizers
        ]
        rows = [
            row
            for case in tracked(cases, part)
            for row in measure(case, asked.horizon, asked.orders)
        ]
        if rows:
            parts[part] = rows
    _report.show(parts, _methods.OURS)
    _report.save(parts, RESULTS)
    # With the other parts beside them, if those have been measured before.
    _report.plot(_report.load(tuple(PARTS), RESULTS), RESULTS / "regrets.png")
    print(f"Rows and plot are in {RESULTS}.")


if __name__ == "__main__":
    main()
