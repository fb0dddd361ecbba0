"""`llms.txt`: what is on the site, a line for each page, for programs that read before they ask.

It is made while the site is built, from the navigation and the first sentence of each page, so that
it can't be out of date. Source: https://llmstxt.org
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_FENCE = re.compile(r"^```.*?^```$|<[^>]+>|^---$.*?^---$", re.MULTILINE | re.DOTALL)


def llms_text(name: str, description: str, nav: list[Any], docs: Path, url: str = "") -> str:
    """The file's text.

    Args:
        name: The name of the site.
        description: What it is about, in a sentence.
        nav: MkDocs' navigation: paths, and names with a path or a list.
        docs: The folder of the pages.
        url: Where the site is; links are relative without it.

    Raises:
        ValueError: A page has no heading, or nothing under it.
    """
    sections: dict[str, list[str]] = {}
    for section, path in _pages(nav, "Pages"):
        title, sentence = _beginning(docs / path)
        where = re.sub(r"(^|/)index\.md$", r"\1", path).removesuffix(".md")
        link = f"{url}{where}{'/' if where and not where.endswith('/') else ''}" or "./"
        sections.setdefault(section, []).append(f"- [{title}]({link}): {sentence}")
    parts = [f"# {name}", f"> {description}"]
    parts += [f"## {section}\n\n" + "\n".join(lines) for section, lines in sections.items()]
    return "\n\n".join(parts) + "\n"


def _pages(nav: list[Any], section: str) -> Iterator[tuple[str, str]]:
    """Each page with the section that it is in."""
    for entry in nav:
        for name, inner in entry.items() if isinstance(entry, dict) else [("", entry)]:
            if isinstance(inner, list):
                yield from _pages(inner, name)
            else:
                yield section, inner


def _beginning(page: Path) -> tuple[str, str]:
    """A page's heading and first sentence, as plain text."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    rest = text[heading.end() :] if heading else ""
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", rest)]
    prose = next((part for part in paragraphs if re.match(r"[\w`*\[]", part)), "")
    if heading is None or not prose:
        raise ValueError(f"{page} must begin with a heading and a sentence.")
    plain = _LINK.sub(r"\1", " ".join(prose.split())).replace("**", "")
    return heading[1].strip(), re.split(r"(?<=[.?!])\s", plain)[0]
