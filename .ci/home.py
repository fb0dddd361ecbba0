"""Tells a release where the project lives.

The sources don't know the address. Who publishes sets `LAYERWISE_HOME`, as `release.yml` does; then
the metadata have the project's links, and the README on the package index leads to the files of
this version. Hatchling calls this at each build.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

VARIABLE = "LAYERWISE_HOME"
_PICTURES = (".png", ".svg")
# Not one that is absolute, or leads to a place on the page itself.
_LINK = re.compile(r"(?<=\]\()(?!#|[a-z]+:)[^)\s]+(?=\))")


class Home(MetadataHookInterface):
    """The README and the links of the project."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put both into the metadata."""
        home = os.environ.get(VARIABLE, "").rstrip("/")
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = absolute(readme, home, metadata["version"]) if home else readme
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = links(home) if home else {}


def absolute(text: str, home: str, version: str) -> str:
    """The text with links that lead to files of a version, from wherever it is read."""

    def link(found: re.Match[str]) -> str:
        kind = "raw" if found[0].endswith(_PICTURES) else "blob"
        return f"{home}/{kind}/v{version}/{found[0]}"

    return _LINK.sub(link, text)


def links(home: str) -> dict[str, str]:
    """The project's links, as an index shows them beside the README."""
    return {
        "Source": home,
        "Documentation": f"{home}/blob/main/docs/index.md",
        "Changelog": f"{home}/blob/main/CHANGELOG.md",
        "Issues": f"{home}/issues",
    }
