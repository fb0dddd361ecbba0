"""The one warning of a recorder that can't go on, where training can."""

import inspect
import warnings


class RecorderWarning(UserWarning):
    """Recording stopped, wholly or for one sink, or a record has lines that can't be read.

    Training goes on: a recorder never stops it because of a full disk or a removed folder.

    Examples:
        >>> import warnings
        >>> from layerwise.recorder import RecorderWarning
        >>> with warnings.catch_warnings():  # to have training stop at once instead
        ...     warnings.simplefilter("error", RecorderWarning)
    """


def warn(message: str) -> None:
    """Warn, at the line outside Layerwise that led here, however many of ours lie between."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("layerwise."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, RecorderWarning, stacklevel=level)
