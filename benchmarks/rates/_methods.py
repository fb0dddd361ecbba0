"""Every method that the panel compares: what it answers in one draw, and what that is worth."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from torch.optim import Adam

from layerwise import gradual_unfreezing, layer_decay
from layerwise.multipliers import Rules
from layerwise.torch import find_lr, param_groups

from ._gradient_norms import relative_norms, train_by_norms
from ._ldog import LDoG
from ._oracle import tilted
from ._task import Draw, Examples
from ._training import Trained, run, tested, train

HELD_OUT = 0.3  # of the labels, for find_lr's probes
_FALLBACK = 1e-3  # Adam's default, where a search has no answer
_SEARCH = 1  # the order of the batches that searches get


@dataclass(frozen=True)
class Outcome:
    """What a method's training ends with.

    Attributes:
        test_loss: The mean cross-entropy on the test set.
        test_accuracy: The share of right answers there.
        train_loss: The mean of the last tenth of the batches' losses.
        rate: The base rate, or None where a method has none.
        updates: What the search cost, in updates; the training comes on top.
        reason: What the method says about its answer.
    """

    test_loss: float
    test_accuracy: float
    train_loss: float
    rate: float | None = None
    updates: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """Rules and a base rate, what they cost to find, and why these."""

    rules: Rules | None
    rate: float
    updates: int
    reason: str = ""


def search_loader(draw: Draw, places: slice = slice(None)) -> list[Examples]:
    """All labelled examples, or a part of them, once: what a user's loader gives."""
    rng = np.random.default_rng(draw.seed)
    order = torch.as_tensor(rng.permutation(len(draw.train.y))[places])
    return [draw.train.at(some) for some in order.split(draw.task.batch_size)]


def rate_for(draw: Draw, rules: Rules | None) -> tuple[float, int, str]:
    """The base rate that ``find_lr`` suggests for these rules, its cost in updates, and a reason.

    As its documentation says, some of the few labels are held out, for the probes to be scored on.
    """
    model = draw.model()
    optimizer = Adam(param_groups(model, rules, lr=1e-3, layers=draw.levels))
    count = int(HELD_OUT * len(draw.train.y))
    found = find_lr(
        model,
        optimizer,
        draw.loss,
        search_loader(draw, slice(count, None)),
        held_out=search_loader(draw, slice(count)),
        horizon=draw.task.updates,
        progress=False,
    )
    why = "" if found.suggestion is not None else f"Adam's default: {found.reason}"
    return found.rate_or(_FALLBACK), found.updates, why


def find_rates(draw: Draw, budget: int | None = None) -> Answer:
    """What the search that is shipped answers: it gets all labels, and holds out its own."""
    from layerwise.torch import find_rates as search

    model = draw.model()
    found = search(
        model,
        Adam(model.parameters()),
        draw.loss,
        search_loader(draw),
        layers=draw.levels,
        horizon=draw.task.updates,
        budget=budget,
        progress=False,
    )
    return Answer(found.rules, found.learning_rate, found.updates, found.reason)


def _with_find_lr(rules_of: Callable[[Draw], Rules | None], draw: Draw) -> Answer:
    rules = rules_of(draw)
    return Answer(rules, *rate_for(draw, rules))


def _unfreezing(draw: Draw) -> Rules:
    """All layers learn from the middle of the training on."""
    return gradual_unfreezing(max(draw.task.updates // (2 * len(draw.levels)), 1))


def _measured(answer_of: Callable[[Draw], Answer], draw: Draw) -> Outcome:
    answer = answer_of(draw)
    return _outcome(train(draw, answer.rules, answer.rate), answer)


def _auto_rgn(draw: Draw) -> Outcome:
    model = draw.model()
    rules = cast("Rules", relative_norms(draw, model, search_loader(draw)))
    answer = Answer(rules, *rate_for(draw, rules))
    return _outcome(train_by_norms(draw, answer.rate), answer)


def _ldog(draw: Draw) -> Outcome:
    model = draw.model()
    norms = any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    optimizer = LDoG(model.parameters(), 1e-4 if norms else 1e-6)
    losses = run(model, optimizer, draw.loss, draw.batches(0))
    optimizer.take_average()
    ended = tested(draw, model, losses)
    return Outcome(ended.test_loss, ended.test_accuracy, ended.train_loss)


def _outcome(ended: Trained, answer: Answer) -> Outcome:
    return Outcome(
        ended.test_loss,
        ended.test_accuracy,
        ended.train_loss,
        answer.rate,
        answer.updates,
        answer.reason,
    )


def _peer(rules_of: Callable[[Draw], Rules | None]) -> Callable[[Draw], Outcome]:
    return partial(_measured, partial(_with_find_lr, rules_of))


OURS = "find_rates"
UNAIDED: dict[str, Callable[[Draw], Outcome]] = {
    OURS: partial(_measured, find_rates),
    "one rate": _peer(lambda draw: None),
    "layer_decay(0.9)": _peer(lambda draw: layer_decay(0.9)),
    "layer_decay(0.6)": _peer(lambda draw: layer_decay(0.6)),
    "layer_decay(0.3)": _peer(lambda draw: layer_decay(0.3)),
    "frozen body": _peer(lambda draw: tilted(draw.levels, 0.0)),
    "gradual_unfreezing": _peer(_unfreezing),
    "Auto-RGN": _auto_rgn,
    "L-DoG": _ldog,
}
"""The methods that see no test data, by name."""

ONE_RATE = "one rate, by the test set"
BEST_TILT = "best tilt, by the test set"
ORACLES = (ONE_RATE, BEST_TILT)
