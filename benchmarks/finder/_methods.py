"""Every method's suggestion in one case, from the same network, batches and sweep."""

from dataclasses import dataclass

from layerwise.finder import LRFinding, search

from ._oracle import Case
from ._peers import PEERS
from ._trainer import PanelTrainer, finder_batches

SWEEP = 100

OURS = "Layerwise, probes"
CURVE = "Layerwise, sweep alone"


@dataclass(frozen=True)
class Answer:
    """A method's suggestion, or None, and how many updates it cost."""

    rate: float | None
    updates: int


def answers(case: Case, horizon: int | None = None) -> dict[str, Answer]:
    """The answers of all methods by name; ours is told if the rate is going to be constant.

    The classical rules are there twice: on our curve with our smoothing, and as their packages
    run them, with their own smoothing and stopping (``_peers``).
    """
    told = {"schedule": "constant"} if case.course == "constant" else {}
    ours = _search(case, method="probe", horizon=horizon, **told)
    curve = _search(case, method="sweep")
    # The others stop by rules of their own: they get the curve to its end.
    whole = _search(case, method="sweep", stop="never")
    found = {
        OURS: Answer(ours.suggestion, ours.updates),
        CURVE: Answer(curve.suggestion, curve.updates),
    }
    for name, rate in curve.candidates.items():
        found[name] = Answer(rate, curve.updates)
    for name, rule in PEERS.items():
        found[name] = Answer(rule(whole.rates, whole.losses), SWEEP)
    return found


def _search(case: Case, **options: object) -> LRFinding:
    batches = finder_batches(case, SWEEP)
    return search(PanelTrainer(case), batches, steps=SWEEP, progress=False, **options)
