"""What of a model and its process is no variable, put back as it was after a search.

``fit`` builds the optimizer, the compiled metrics and the compiled loss when it first sees data.
Had the search left them built, ``fit`` would skip that, draw one batch fewer, and so shuffle the
data in another order than without the search. So they are unbuilt again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from layerwise.keras._finder.attribute_snapshot import AttributeSnapshot
from layerwise.keras._gradients import Gradients
from layerwise.keras._internals.random_states import RandomStates
from layerwise.keras._internals.trainer import parts_built_by_fit


@contextmanager
def restored_after(model: Any, generators: tuple[Any, ...] = ()) -> Iterator[RandomStates]:
    """After the block, all but the variables of the model is as it was, random states too.

    Args:
        model: A compiled model.
        generators: Random generators of PyTorch that the data has of its own.

    Yields:
        The random states to be put back, which the block may renew.
    """
    random = RandomStates(generators)
    parts = AttributeSnapshot(*parts_built_by_fit(model))
    stopped = model.stop_training
    on_torch = keras.backend.backend() == "torch"
    modes = [(module, module.training) for module in model.modules()] if on_torch else []
    gradients = Gradients(model) if on_torch else None
    try:
        yield random
    finally:
        if on_torch:
            _set_modes(model, modes)
        if gradients is not None:
            gradients.put_back()
        model.stop_training = stopped
        parts.put_back()
        random.put_back()


def _set_modes(model: Any, modes: list[tuple[Any, bool]]) -> None:
    """Set each PyTorch module to the mode it had; what is new has its model's."""
    known = {id(module): training for module, training in modes}
    for module in model.modules():
        module.training = known.get(id(module), known[id(model)])
