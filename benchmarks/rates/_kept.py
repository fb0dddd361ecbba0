"""Trainings that have been done are kept on disk, so that a run that was cut off goes on."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ._pretrained import CACHE
from ._task import Draw

# Counted up whenever what has been kept is no longer what would be measured.
VERSION = 1


class Kept:
    """The results of one draw by name, each a line of a file.

    Args:
        draw: Whose results.
        folder: Where the file is.
    """

    def __init__(self, draw: Draw, folder: Path = CACHE / "cells") -> None:
        task = draw.task
        self._place = folder / f"{task.name}-{draw.seed}-{task.updates}-v{VERSION}.jsonl"
        self._known: dict[str, dict[str, Any]] = {}
        self._torn = False
        if self._place.exists():
            text = self._place.read_text("utf-8")
            for line in text.splitlines():
                self._remember(line)
            self._torn = not text.endswith("\n")

    def has(self, name: str) -> bool:
        """Whether something is kept under this name."""
        return name in self._known

    def read(self, name: str) -> dict[str, Any]:
        """What is kept under this name."""
        return self._known[name]

    def put(self, name: str, found: Any) -> None:
        """Keep a dataclass of plain data under this name."""
        self._known[name] = asdict(found)
        self._place.parent.mkdir(parents=True, exist_ok=True)
        with self._place.open("a", encoding="utf-8") as file:
            if self._torn:
                file.write("\n")
                self._torn = False
            file.write(json.dumps({"name": name, "found": self._known[name]}) + "\n")

    def get(self, name: str, measure: Callable[[], Any]) -> dict[str, Any]:
        """What is kept under this name; measured now, and kept, if nothing is."""
        if not self.has(name):
            self.put(name, measure())
        return self.read(name)

    def _remember(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # torn when the process was killed: measured again
            return
        self._known[entry["name"]] = entry["found"]
