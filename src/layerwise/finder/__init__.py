"""The finder: a sweep over rates, probes at a few of them, and a suggestion with its reason."""

from layerwise.finder._candidates import (
    candidates,
    minimum_over_10,
    slide,
    steepest,
    valley,
)
from layerwise.finder._fake import QuadraticTrainer
from layerwise.finder._finding import LRFinding, Probe
from layerwise.finder._search import search
from layerwise.finder._smoothing import smooth
from layerwise.finder._stop import StopRule
from layerwise.finder._sweep import SweepRange
from layerwise.finder._trainer import Trainer

__all__ = [
    "LRFinding",
    "Probe",
    "QuadraticTrainer",
    "StopRule",
    "SweepRange",
    "Trainer",
    "candidates",
    "minimum_over_10",
    "search",
    "slide",
    "smooth",
    "steepest",
    "valley",
]
