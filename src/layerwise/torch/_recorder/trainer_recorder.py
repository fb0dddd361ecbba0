"""What the recorders share that are callbacks of a trainer: Lightning's and Transformers'."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import SupportsIndex

from torch import nn

from layerwise.recorder import Sink
from layerwise.torch._optimizer.optimizer_set import Optimizers
from layerwise.torch._recorder.recorder import Recorder
from layerwise.torch._scheduler.schedule_lr import ScheduleLR


class TrainerRecorder:
    """Opens a ``Recorder`` when training begins, and closes it when training ends.

    The arguments are those of ``layerwise.torch.Recorder``.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        every: SupportsIndex = 1,
        ratios: int | None = None,
        sinks: Iterable[Sink] = (),
        wait: float = 0.5,
    ) -> None:
        self.run = Path(run)
        self._recorder = partial(
            Recorder, self.run, every=every, ratios=ratios, sinks=tuple(sinks), wait=wait
        )
        self._record: Recorder | None = None

    def close(self) -> None:
        """Close the record, even after training that was broken off."""
        if self._record is not None:
            self._record.close()
            self._record = None

    def _open(self, source: Optimizers | ScheduleLR, model: nn.Module, step: int) -> None:
        """Open the record, at the step at which training begins or goes on."""
        self._record = self._recorder(source, model=model)
        self._record.count_from(step)
        if step:
            self._record.resume(step)
