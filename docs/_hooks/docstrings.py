"""Our docstrings in the words that griffe and Markdown know: an extension of griffe."""

import re
from textwrap import dedent
from typing import Any

from griffe import Extension

_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)
_SOURCE = re.compile(r"^(Source|Reference): *(\n(?:    .*\n?)+)?", re.MULTILINE)
_MATH_BLOCK = re.compile(r"^\.\. math:: *(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_MATH = re.compile(r":math:`([^`]+)`")
_NAME = re.compile(r":(?:attr|class|data|exc|func|meth|mod|obj):`~?([^`]+)`")


def in_markdown(docstring: str) -> str:
    """A docstring with Sphinx' roles and our own headings translated."""
    text = _EXAMPLE.sub(r"\1Examples:", docstring)
    text = _SOURCE.sub(lambda found: f"**Source:** {dedent(found[2] or '').strip()}", text)
    text = _MATH_BLOCK.sub(r"$$\1$$", text)
    text = _MATH.sub(r"$\1$", text)
    return _NAME.sub(r"`\1`", text)


class Docstrings(Extension):
    """Translates every docstring once, when its object has been read."""

    def on_object(self, *, obj: Any, **kwargs: Any) -> None:
        """Translate one."""
        if obj.docstring is not None:
            obj.docstring.value = in_markdown(obj.docstring.value)
