"""Pictures of schedules, drawn while the site is built, so that they show what the code does.

A block of code that begins with ```` ```python picture ```` holds one expression a line, each of
which makes a schedule. It is shown as code, and under it are its curves. `steps=N` after the word
gives the length of the axis.
"""

import hashlib
import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from mkdocs.structure.files import File

from layerwise import plots, schedules

_BLOCK = re.compile(r"^```python picture(?: steps=(\d+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The ground of the site in each of Material's schemes; `plots` takes its ink from it.
_GROUNDS = {"light": "#ffffff", "dark": "#1e2129"}
_STYLE = {"svg.fonttype": "path", "svg.hashsalt": "layerwise"}


def with_pictures(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The page, with the pictures under their blocks; the files go to the site's files."""

    def shown(block: re.Match[str]) -> str:
        text, steps = block[2], None if block[1] is None else int(block[1])
        lines = expressions(text)
        name = hashlib.sha256(f"{steps} {lines}".encode()).hexdigest()[:12]
        words = ", ".join(lines).replace("[", "(").replace("]", ")").replace('"', "'")
        images = []
        for scheme, ground in _GROUNDS.items():
            uri = f"pictures/{name}-{scheme}.svg"
            if files.get_file_from_path(uri) is None:
                files.append(File.generated(config, uri, content=picture(lines, steps, ground)))
            up = "../" * page.file.src_uri.count("/")
            images.append(f"![The curve of {words}]({up}{uri}#only-{scheme})")
        return f"```python\n{text}```\n\n{chr(10).join(images)}\n{{: .curve }}"

    return _BLOCK.sub(shown, markdown)


def expressions(text: str) -> list[str]:
    """The lines of a block, without the comments."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def picture(lines: list[str], steps: int | None, ground: str) -> str:
    """The curves of some schedules as SVG, with text that can be read on the ground."""
    found = [eval(line, vars(schedules).copy()) for line in lines]
    if steps is None:
        steps = max(schedule.length for schedule in found)
    with mpl.rc_context(_STYLE | {"axes.facecolor": ground, "figure.facecolor": ground}):
        figure = Figure(figsize=(5.8, 2.5), layout="constrained")
        axes = figure.subplots()
        for schedule in found:
            plots.schedule(schedule, steps=steps, ax=axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue()
