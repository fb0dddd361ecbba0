"""Recorder: every batch's loss, metrics and rates, written as training goes and read as columns."""

from layerwise.recorder._history import History
from layerwise.recorder._pending import BatchRow, PendingRows, check_ratios, check_wait
from layerwise.recorder._recorder import Recorder
from layerwise.recorder._sinks.mlflow import MLflow
from layerwise.recorder._sinks.sink import Sink
from layerwise.recorder._sinks.tensorboard import TensorBoard
from layerwise.recorder._sinks.wandb import WeightsAndBiases
from layerwise.recorder._warning import RecorderWarning

__all__ = [
    "BatchRow",
    "History",
    "MLflow",
    "PendingRows",
    "Recorder",
    "RecorderWarning",
    "Sink",
    "TensorBoard",
    "WeightsAndBiases",
    "check_ratios",
    "check_wait",
]
