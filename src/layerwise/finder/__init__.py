"""The finder: a sweep over rates, probes at a few of them, and a suggestion with its reason."""

from layerwise.finder._finding import LRFinding, Probe
from layerwise.finder._gathered import accumulated
from layerwise.finder._options import SearchKeywords, SearchOptions
from layerwise.finder._quadratic import QuadraticTrainer
from layerwise.finder._search import search
from layerwise.finder._sweep.classical_rules import (
    candidates,
    minimum_over_10,
    slide,
    steepest,
    valley,
)
from layerwise.finder._sweep.smoothing import smooth
from layerwise.finder._sweep.stop import StopRule
from layerwise.finder._trainer import Trainer

__all__ = [
    "LRFinding",
    "Probe",
    "QuadraticTrainer",
    "SearchKeywords",
    "SearchOptions",
    "StopRule",
    "Trainer",
    "accumulated",
    "candidates",
    "minimum_over_10",
    "search",
    "slide",
    "smooth",
    "steepest",
    "valley",
]
