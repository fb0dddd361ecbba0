"""The schedulers of PyTorch on an optimizer, and what they do to the rates that they find."""

import gc
import warnings
from collections.abc import Sequence
from weakref import ref

from torch.optim import Optimizer
from torch.optim import lr_scheduler as peer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import SWALR

from layerwise.torch._optimizer.inner_optimizer import hookable

# Each of these multiplies the rate that is there, so that several of them compose.
_MULTIPLYING = (
    peer.MultiplicativeLR,
    peer.StepLR,
    peer.MultiStepLR,
    peer.ConstantLR,
    peer.LinearLR,
    peer.ExponentialLR,
    peer.PolynomialLR,
    peer.CosineAnnealingLR,
    peer.ReduceLROnPlateau,
)
# Each of these sets a rate, whatever is there.
_SETTING = (
    peer.LambdaLR,
    peer.CyclicLR,
    peer.OneCycleLR,
    peer.CosineAnnealingWarmRestarts,
    SWALR,
)
_CUTTING = (peer.ConstantLR, peer.LinearLR)  # these multiply when they are made, too
MARK = "_knows_multipliers"
"""An attribute of the schedulers that apply multipliers themselves."""

_CONTAINERS = (peer.ChainedScheduler, peer.SequentialLR)

_MOST_SEARCHES = 8


def peers_on(optimizer: Optimizer) -> list[LRScheduler]:
    """The schedulers on an optimizer that are not of Layerwise.

    An optimizer doesn't know its schedulers, so they are searched for among all of Python's
    objects. That takes a tenth of a second in a large process: it is for messages, for the moment
    at which a rate turns out to have been changed, and for a search for a rate.
    """
    return [each for each in _all_on(optimizer) if not isinstance(each, _CONTAINERS)]


def outermost_on(optimizer: Optimizer) -> list[LRScheduler]:
    """The same, but containers in place of the schedulers that they step."""
    every = _all_on(optimizer)
    inside = {id(one) for each in every for one in getattr(each, "_schedulers", ())}
    return [each for each in every if id(each) not in inside]


def _all_on(optimizer: Optimizer) -> list[LRScheduler]:
    inner = hookable(optimizer)
    return [
        each
        for each in gc.get_objects()
        if issubclass(type(each), LRScheduler)
        and not hasattr(type(each), MARK)
        and isinstance(owner := getattr(each, "optimizer", None), Optimizer)
        and hookable(owner) is inner
    ]


def setting(schedulers: Sequence[LRScheduler]) -> list[LRScheduler]:
    """Those that set a rate, whatever is there."""
    return [each for each in schedulers if isinstance(each, _SETTING)]


def all_multiply(schedulers: Sequence[LRScheduler]) -> bool:
    """Whether there are some, and all of them multiply the rate that is there."""
    return bool(schedulers) and all(isinstance(each, _MULTIPLYING) for each in schedulers)


def set_to_zero(schedulers: Sequence[LRScheduler], count: int) -> list[bool]:
    """Which of ``count`` groups have the rate 0 from one of these, if all of them multiply.

    One that has not stepped yet may have found the rate 0, as at the start of a warm-up.
    """
    if not all_multiply(schedulers):
        return [False] * count
    last = [getattr(each, "_last_lr", ()) for each in schedulers if each.last_epoch > 0]
    return [
        any(place < len(rates) and float(rates[place]) == 0 for rates in last)
        for place in range(count)
    ]


def named(schedulers: Sequence[LRScheduler]) -> str:
    """Schedulers for a message."""
    return " and ".join(dict.fromkeys(type(each).__name__ for each in schedulers))


class OtherSchedulers:
    """The schedulers beside a ``ScheduleLR``, searched for when rates have changed.

    Those that were found explain later changes, too, as long as one of them has gone on since. If
    nothing is ever found, the rates are changed by hand, and the search is given up.
    """

    def __init__(self) -> None:
        self._known: list[tuple[ref[LRScheduler], int]] = []
        self._searches = 0
        self._undone: list[ref[LRScheduler]] = []

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return OtherSchedulers, ()  # a copy belongs to another optimizer

    def note_cuts(self, optimizer: Optimizer) -> None:
        """Note which have cut the rates that a ``ScheduleLR`` is about to write for the first time.

        In a ``SequentialLR`` that is as it should be, so nothing is said before rates change.
        """
        groups = (group for group in optimizer.param_groups if group.get("initial_lr") is not None)
        if any(float(group["initial_lr"]) != float(group["lr"]) for group in groups):
            cutting = [each for each in peers_on(optimizer) if isinstance(each, _CUTTING)]
            self._undone = [ref(each) for each in cutting if each.last_epoch == 0]

    def forget_cuts(self) -> None:
        """Say nothing of cuts, since a ``SequentialLR`` has set the rates back."""
        self._undone = []

    def now(self, optimizer: Optimizer) -> list[LRScheduler]:
        """Those that are there now."""
        known = [(found, at) for each, at in self._known if (found := each()) is not None]
        if not any(each.last_epoch != at for each, at in known) and self._searches < _MOST_SEARCHES:
            self._searches += 1
            known = [(each, each.last_epoch) for each in peers_on(optimizer)]
        self._known = [(ref(each), each.last_epoch) for each, _ in known]
        self._warn_of_cuts([each for each, _ in known])
        return [each for each, _ in known]

    def _warn_of_cuts(self, found: Sequence[LRScheduler]) -> None:
        undone = [each for each in found if ref(each) in self._undone]
        if undone:
            self._undone = []
            warnings.warn(
                f"{named(undone)} cut the rates when it was made, and the ScheduleLR that was made "
                "after it has undone that, so that the rates rise too far. Make the ScheduleLR "
                "first.",
                stacklevel=9,
            )
