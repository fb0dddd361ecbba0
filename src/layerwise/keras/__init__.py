"""Layerwise for Keras 3, on TensorFlow, JAX and PyTorch."""

from layerwise.keras import layers
from layerwise.keras._annotate import annotate
from layerwise.keras._circular_lr import CircularLR
from layerwise.keras._explain import explain
from layerwise.keras._find_lr import find_lr
from layerwise.keras._lr_finder import LRFinder
from layerwise.keras._lr_updater import LRUpdater
from layerwise.keras._optimizer import LRMultiplier
from layerwise.keras._parameters import layers_of
from layerwise.keras._performance_logger import PerformanceLogger
from layerwise.keras._recorder import Recorder
from layerwise.keras._schedule import LearningRateSchedule

__all__ = [
    "CircularLR",
    "LRFinder",
    "LRMultiplier",
    "LRUpdater",
    "LearningRateSchedule",
    "PerformanceLogger",
    "Recorder",
    "annotate",
    "explain",
    "find_lr",
    "layers",
    "layers_of",
]
