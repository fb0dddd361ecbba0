"""Layerwise for Keras 3, on TensorFlow, JAX and PyTorch."""

from layerwise.keras import callbacks, layers
from layerwise.keras._annotated.annotate import annotate
from layerwise.keras._by_metric.report_metrics import ReportMetrics
from layerwise.keras._callbacks.recorder import Recorder
from layerwise.keras._check_width import check_width_scaling
from layerwise.keras._explain import explain
from layerwise.keras._finder.find_lr import find_lr
from layerwise.keras._finder.find_rates import find_rates
from layerwise.keras._optimizer.loss_scale import LossScaleOptimizer
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier
from layerwise.keras._parameters import layers_of
from layerwise.keras._schedule import LearningRateSchedule

__all__ = [
    "LRMultiplier",
    "LearningRateSchedule",
    "LossScaleOptimizer",
    "Recorder",
    "ReportMetrics",
    "annotate",
    "callbacks",
    "check_width_scaling",
    "explain",
    "find_lr",
    "find_rates",
    "layers",
    "layers_of",
]
