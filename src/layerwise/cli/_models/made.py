"""Models that are no file: what a function of yours makes, or a folder of Hugging Face holds."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from layerwise._text import name_text
from layerwise.cli._files import asked, readable
from layerwise.errors import LayerwiseError
from layerwise.multipliers import Plan, Rules

_FACTORY = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class MadeModel:
    """A model, and with what it is to be trained.

    Attributes:
        name: Where it comes from.
        model: A module of PyTorch or a model of Keras.
        optimizer: Its optimizer, if the factory gave one.
        loss: Its loss function, if the factory gave one.
    """

    name: str
    model: Any
    optimizer: Any = None
    loss: Any = None

    @property
    def is_keras(self) -> bool:
        """Whether it is a model of Keras; that may be a module of PyTorch, too."""
        keras = sys.modules.get("keras")
        return keras is not None and isinstance(self.model, keras.Model)

    def explain(self, rules: Rules, **options: Any) -> Plan:
        """The plan of its parameters under rules."""
        if self.is_keras:
            from layerwise.keras import explain as explain_keras

            return explain_keras(self.model, rules, optimizer=self.optimizer, **options)
        from layerwise.torch import explain

        return explain(self.model, rules, **options)


def is_made(path: Path) -> bool:
    """Whether it is a folder or ``module:factory``, and not the name of a file."""
    return path.is_dir() or (
        not path.exists() and _FACTORY.fullmatch(str(path)) is not None and path.suffix != ".keras"
    )


def model_source(path: Path) -> Path:
    """Refuse what is neither a file nor a folder nor ``module:factory``."""
    return path if asked(path, is_made) else readable(path)


def model_of(path: Path, weights: bool) -> MadeModel:
    """Make or load a model.

    Args:
        path: A folder that ``save_pretrained`` wrote, or ``module:factory``: a model, or a function
            without arguments that returns one, or ``(model, optimizer)``, or
            ``(model, optimizer, loss)``.
        weights: Whether the weights of a folder are needed, or only their names.

    Raises:
        LayerwiseError: There is no such model, or making it raised an error.
    """
    with redirect_stdout(sys.stderr):  # what it prints is no part of the answer
        return _from_folder(path, weights) if path.is_dir() else _from_factory(str(path))


def _from_factory(text: str) -> MadeModel:
    module, _, names = text.partition(":")
    with _importing_from_here():
        try:
            found: Any = import_module(module)
        except (Exception, SystemExit) as error:  # a script that ends itself makes no model
            raise LayerwiseError(f"{text}: import {module} raised {_reason(error)}") from error
        for name in names.split("."):
            if not hasattr(found, name):
                raise LayerwiseError(f"{text}: {module} has no {names}. Name what makes the model.")
            found = getattr(found, name)
        if not _is_model(found) and callable(found):
            try:
                found = found()
            except (Exception, SystemExit) as error:
                raise LayerwiseError(f"{text} raised {_reason(error)}") from error
    parts = found if isinstance(found, tuple) else (found,)
    if not 1 <= len(parts) <= 3 or not _is_model(parts[0]):
        raise LayerwiseError(
            f"{text} must give a torch.nn.Module or a keras.Model, or (model, optimizer), or "
            f"(model, optimizer, loss), got {name_text(type(found).__name__)}."
        )
    return MadeModel(text, *parts)


def _from_folder(path: Path, weights: bool) -> MadeModel:
    name = name_text(path.name or str(path))
    file = path / "config.json"
    if not file.is_file():
        raise LayerwiseError(
            f"{name} must be a folder that save_pretrained() wrote, with a config.json."
        )
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise LayerwiseError(f"{name} needs {package}: pip install torch transformers.")
    import torch
    import transformers

    try:
        kinds = json.loads(file.read_text(encoding="utf-8")).get("architectures") or [None]
        kind = getattr(transformers, str(kinds[0]), None)
    except (ValueError, AttributeError) as error:
        raise LayerwiseError(f"{name}: config.json is damaged: {_reason(error)}") from error
    if kind is None:
        raise LayerwiseError(
            f"{name}: config.json must name one of Transformers' models under architectures, got "
            f"{name_text(str(kinds[0]))}. For a model of your own, name what makes it: "
            "module:factory."
        )
    try:
        if weights:
            return MadeModel(name, kind.from_pretrained(path, local_files_only=True))
        with torch.device("meta"):  # names and shapes need no memory
            config = kind.config_class.from_pretrained(path, local_files_only=True)
            return MadeModel(name, kind(config))
    except Exception as error:  # Transformers raises many kinds
        raise LayerwiseError(f"Transformers can't load {name}: {_reason(error)}") from error


def _is_model(value: object) -> bool:
    """Whether it is a model of a framework that is loaded; an unloaded one has made nothing."""
    known = (("torch.nn", "Module"), ("keras", "Model"))
    kinds = [getattr(sys.modules[module], kind) for module, kind in known if module in sys.modules]
    return isinstance(value, tuple(kinds))


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0] or 'no text'}"


@contextmanager
def _importing_from_here() -> Iterator[None]:
    """While the block runs, modules in the working folder are found, as with ``python -m``."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
