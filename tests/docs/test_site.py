"""The site builds without a warning, and a reader's browser asks nobody else for anything."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests._support.rooms import ROOT

# What a browser fetches unasked; a link is followed only when somebody clicks it.
FETCHED = {"audio", "embed", "iframe", "img", "object", "script", "source", "track", "video"}
RELATIONS = {"dns-prefetch", "icon", "preconnect", "prefetch", "preload", "stylesheet"}
_CSS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


class Fetches(HTMLParser):
    """What a page makes a browser fetch from elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        named = tag == "link" and bool(RELATIONS & set(given.get("rel", "").split()))
        fetched = tag in FETCHED or named
        for name in ("src", "srcset", "href", "data", "poster"):
            if fetched and re.match(r"(https?:)?//", given.get(name, "").strip()):
                self.found.append(given[name])
        self.found += _CSS.findall(given.get("style", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={"NO_MKDOCS_2_WARNING": "1", "PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        assert Fetches(page.read_text(encoding="utf-8")).found == [], page.relative_to(site)
    for sheet in site.rglob("*.css"):
        assert _CSS.findall(sheet.read_text(encoding="utf-8")) == [], sheet.relative_to(site)


def test_a_fetch_is_found() -> None:
    page = '<img src="a.png"><link rel="stylesheet" href="//x.y/z.css"><a href="https://x.y">'
    assert Fetches(page + '<script src="https://x.y/z.js"></script>').found == [
        "//x.y/z.css",
        "https://x.y/z.js",
    ]


def test_formulas_are_drawn_and_roles_are_gone(site: Path) -> None:
    schedules = (site / "api" / "schedules" / "index.html").read_text(encoding="utf-8")
    assert schedules.count("<math") > 20
    for page in site.rglob("*.html"):
        text = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.S)
        left = re.findall(r"\$\$|\\(?:frac|text|cdot)\b|:(?:func|class|math):", text)
        assert left == [], page.relative_to(site)


def test_each_picture_is_there_for_both_schemes(site: Path) -> None:
    page = (site / "schedules" / "index.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="\.\./(pictures/\w+-(light|dark)\.svg)#only-(light|dark)"', page)
    assert len(pictures) >= 26
    for name, made_for, shown_in in pictures:
        assert made_for == shown_in
        assert (site / name).read_text(encoding="utf-8").count("<path") > 10
    assert {kind for _, kind, _ in pictures} == {"light", "dark"}


def test_every_public_schedule_has_a_place(site: Path) -> None:
    page = (site / "api" / "schedules" / "index.html").read_text(encoding="utf-8")
    assert 'id="layerwise.schedules.cosine"' in page
    assert 'id="layerwise.schedules.Schedule.clamp"' in page


def test_programs_find_every_page_in_one_file(site: Path) -> None:
    text = (site / "llms.txt").read_text(encoding="utf-8")
    links = re.findall(r"^- \[[^\]]+\]\(([^)]+)\): \S.+$", text, re.MULTILINE)
    pages = {page.parent for page in site.rglob("index.html")}
    assert {site / link for link in links} == pages
