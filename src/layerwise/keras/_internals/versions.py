"""The versions of Keras that Layerwise was tried with, and what to say of any other."""

import keras

from layerwise.errors import LayerwiseError

TRIED = "3.10 and 3.15"
"""The oldest and the newest: those that the tests run with."""


def missing(part: str, purpose: str, error: type[LayerwiseError]) -> LayerwiseError:
    """The error to raise when this version of Keras lacks a part that Layerwise needs.

    Args:
        part: The part, as code: ``"SGD.apply(grads)"``.
        purpose: What needs it: ``"recording each batch"``.
        error: The class of the error.
    """
    return error(
        f"{part} is missing in Keras {keras.__version__}, and {purpose} needs it. Layerwise was "
        f"tried with Keras {TRIED}: install one of these, or report this version to Layerwise."
    )
