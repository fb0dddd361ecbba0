"""Callbacks in the manner of Keras' own: they set, sweep and keep the rate of every batch.

They are here for those who know them from fastai's ports to Keras 2. What they do is done in fewer
words by an argument of the optimizer (``LRMultiplier(..., schedule=)``), by
``layerwise.keras.find_lr`` and by ``layerwise.keras.Recorder``.
"""

from layerwise.keras._callbacks.circular_lr import CircularLR
from layerwise.keras._callbacks.lr_finder import LRFinder
from layerwise.keras._callbacks.lr_updater import LRUpdater
from layerwise.keras._callbacks.performance_logger import PerformanceLogger

__all__ = ["CircularLR", "LRFinder", "LRUpdater", "PerformanceLogger"]
