"""Layerwise for Keras 3, on TensorFlow, JAX and PyTorch."""

from layerwise.keras import layers
from layerwise.keras._annotate import annotate
from layerwise.keras._explain import explain
from layerwise.keras._optimizer import LRMultiplier
from layerwise.keras._parameters import layers_of
from layerwise.keras._schedule import LearningRateSchedule

__all__ = [
    "LRMultiplier",
    "LearningRateSchedule",
    "annotate",
    "explain",
    "layers",
    "layers_of",
]
