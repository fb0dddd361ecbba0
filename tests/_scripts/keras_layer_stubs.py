"""Writes ``layerwise/keras/layers.pyi``, from which editors complete ``layerwise.keras.layers``.

Run it as ``python -m tests._scripts.keras_layer_stubs`` (``make stubs``).
"""

import inspect
from collections.abc import Iterator

import keras

from layerwise.keras import layers
from tests._support.rooms import LIBRARY

STUB = LIBRARY / "keras" / "layers.pyi"

HEAD = f"""\
# Keras {keras.__version__}; written by tests/_scripts/keras_layer_stubs.py.

import keras

from layerwise.keras._annotated.annotations import Annotated, Annotation

NAMES: tuple[str, ...]
__all__: list[str]

def annotated_class(plain: type) -> type[Annotated] | None: ...
"""


def stub() -> str:
    """The text of the stub for the installed Keras."""
    classes = "\n".join("\n".join(_class(name)) for name in layers.NAMES)
    return f"{HEAD}\n{classes}"


def _class(name: str) -> Iterator[str]:
    plain = getattr(keras.layers, name)
    yield f"class {name}(Annotated, keras.layers.{name}):"
    yield "    def __init__("
    yield "        self,"
    _, *parameters = inspect.signature(plain.__init__).parameters.values()
    named = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in parameters] == [*(p.name for p in named), "kwargs"]
    for parameter in named:
        kind = "bool" if isinstance(parameter.default, bool) else "object"
        yield f"        {parameter.name}: {kind}{_default(parameter)},"
    yield "        *,"
    yield "        lr_multiplier: Annotation | None = None,"
    yield "        **kwargs: object,"
    yield "    ) -> None: ..."
    yield ""


def _default(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is parameter.empty:
        return ""
    if isinstance(default, str):
        return f' = "{default}"'
    return f" = {default!r}" if isinstance(default, bool | int | float | None) else " = ..."


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
