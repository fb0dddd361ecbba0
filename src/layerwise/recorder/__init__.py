"""Records every batch's loss, metrics and rates as training goes, and reads them back."""

from layerwise.recorder._file import RecorderWarning
from layerwise.recorder._history import History
from layerwise.recorder._pending import BatchRow, PendingRows, check_ratios, check_wait
from layerwise.recorder._recorder import Recorder
from layerwise.recorder._row import metric_columns
from layerwise.recorder._sinks.mlflow import MLflow
from layerwise.recorder._sinks.sink import Sink
from layerwise.recorder._sinks.tensorboard import TensorBoard
from layerwise.recorder._sinks.wandb import WeightsAndBiases

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
    "metric_columns",
]
