"""The finder: a sweep over rates, probes at a few of them, and a suggestion with its reason."""

from layerwise.finder._batches import accumulated
from layerwise.finder._classical_rules import candidates, minimum_over_10, slide, steepest, valley
from layerwise.finder._course import Course, relative_course
from layerwise.finder._curve import smooth
from layerwise.finder._finding import LRFinding, Probe, Stopped
from layerwise.finder._options import SearchKeywords, SearchOptions, options_from
from layerwise.finder._progress import ProgressLines, tracked
from layerwise.finder._rates._divisions.batch_arrays import arrays_in, map_arrays
from layerwise.finder._rates.bands import Bands, rules_to_search
from layerwise.finder._rates.finding import Band, Ended, RatesFinding, RatesProbe
from layerwise.finder._rates.options import RatesKeywords, RatesOptions
from layerwise.finder._rates.search import search_rates
from layerwise.finder._rates.trainer import (
    QuadraticBands,
    RatesTrainer,
    check_one_rate,
    relative,
)
from layerwise.finder._restore import (
    Container,
    HostGenerator,
    container_state,
    generator_state,
    global_states,
)
from layerwise.finder._search import search
from layerwise.finder._sweep import StopRule, SweepPoints
from layerwise.finder._trainer import QuadraticTrainer, Trainer

__all__ = [
    "Band",
    "Bands",
    "Container",
    "Course",
    "Ended",
    "HostGenerator",
    "LRFinding",
    "Probe",
    "ProgressLines",
    "QuadraticBands",
    "QuadraticTrainer",
    "RatesFinding",
    "RatesKeywords",
    "RatesOptions",
    "RatesProbe",
    "RatesTrainer",
    "SearchKeywords",
    "SearchOptions",
    "StopRule",
    "Stopped",
    "SweepPoints",
    "Trainer",
    "accumulated",
    "arrays_in",
    "candidates",
    "check_one_rate",
    "container_state",
    "generator_state",
    "global_states",
    "map_arrays",
    "minimum_over_10",
    "options_from",
    "relative",
    "relative_course",
    "rules_to_search",
    "search",
    "search_rates",
    "slide",
    "smooth",
    "steepest",
    "tracked",
    "valley",
]
