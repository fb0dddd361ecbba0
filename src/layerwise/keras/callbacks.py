"""Callbacks in the manner of Keras: they set, sweep and keep the rate of every batch, and count.

``Counter`` tells an optimizer what is in each batch. The others are for those who know them from
fastai's ports to Keras 2. Fewer words do the same: an argument of the optimizer
(``LRMultiplier(..., schedule=)``), ``layerwise.keras.find_lr`` and ``layerwise.keras.Recorder``.
"""

from layerwise.keras._callbacks.lr_finder import LRFinder
from layerwise.keras._callbacks.lr_updater import CircularLR, LRUpdater
from layerwise.keras._callbacks.performance_logger import PerformanceLogger
from layerwise.keras._moving.counter import Counter

__all__ = ["CircularLR", "Counter", "LRFinder", "LRUpdater", "PerformanceLogger"]
