r"""Formulas without any script: the LaTeX that our docstrings use, as MathML.

Browsers draw MathML themselves, in the page's own colours, and screen readers read it. Inline
formulas stand between single dollars, displayed ones in a paragraph of their own between double
ones. Only what is in the tables below is known; anything else is an error of the build.
"""

# Letters of formulas are what they look like.
# ruff: noqa: RUF001

import re
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from markdown.blockprocessors import BlockProcessor
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.util import AtomicString

_TOKEN = re.compile(r"\\text\s*\{(?:\\.|[^{}])*\}|\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\S")
_FUNCTIONS = {"\\" + name for name in ("cos", "exp", "log", "max", "min", "sin", "tanh")}
_LETTERS = {
    r"\alpha": "α",
    r"\beta": "β",
    r"\eta": "η",
    r"\gamma": "γ",
    r"\infty": "∞",
    r"\mu": "μ",
    r"\pi": "π",
    r"\rho": "ρ",
    r"\theta": "θ",
}
_OPERATORS = {
    r"\approx": "≈",
    r"\cdot": "·",
    r"\dots": "…",
    r"\ge": "≥",
    r"\in": "∈",
    r"\le": "≤",
    r"\leftarrow": "←",
    r"\lfloor": "⌊",
    r"\lVert": "‖",
    r"\mapsto": "↦",
    r"\prod": "∏",
    r"\rfloor": "⌋",
    r"\rVert": "‖",
    r"\sum": "∑",
    r"\times": "×",
    r"\to": "→",
    r"\{": "{",
    r"\}": "}",
    "-": "−",
}
_SPACES = {r"\,": "0.17em", r"\quad": "1em", r"\;": "0.28em"}
_OPENING = {"(", "[", "{", "|", "=", "·", "+", "−", "/", ","}
_FENCES = {"(", ")", "[", "]", "{", "}", "|", "⌊", "⌋", "‖"}


def mathml(latex: str, display: bool = False) -> Element:
    """One formula as a `math` element.

    Args:
        latex: What stands between the dollars.
        display: Whether it stands on a line of its own.

    Raises:
        ValueError: It has something in it that is not in the tables above.
    """
    tokens = _TOKEN.findall(latex)
    math = Element("math", {"display": "block" if display else "inline"})
    try:
        _row(tokens, SubElement(math, "mrow"))
        if tokens:
            raise ValueError(f"a {tokens[0]!r} too many")
    except (IndexError, ValueError) as error:
        raise ValueError(f"the formula {latex!r} can't be shown: {error}") from error
    return math


def _row(tokens: list[str], row: Element) -> None:
    """Read up to the end, or to the brace that closes what the caller has opened."""
    while tokens and tokens[0] != "}":
        if tokens[0] in _FUNCTIONS and len(row) and row[-1].text not in _OPENING:
            row.append(Element("mspace", {"width": _SPACES[r"\,"]}))
        row.append(_with_scripts(_atom(tokens), tokens))


def _group(tokens: list[str]) -> Element:
    """What `{...}` holds, or a single atom."""
    if tokens[0] != "{":
        return _atom(tokens)
    tokens.pop(0)
    row = Element("mrow")
    _row(tokens, row)
    if not tokens:
        raise ValueError("a brace is not closed")
    tokens.pop(0)
    return row


def _atom(tokens: list[str]) -> Element:
    token = tokens[0]
    if token == "{":
        return _group(tokens)
    tokens.pop(0)
    if token in (r"\frac", r"\tfrac"):
        fraction = Element("mfrac")
        fraction.extend([_group(tokens), _group(tokens)])
        return fraction
    if token == r"\sqrt":
        root = Element("msqrt")
        root.append(_group(tokens))
        return root
    if token in (r"\left", r"\right"):
        return _leaf("mo", tokens.pop(0))
    if token.startswith(r"\text"):
        return _words(token[token.index("{") + 1 : -1].replace(r"\_", "_"))
    if token in _SPACES:
        return Element("mspace", {"width": _SPACES[token]})
    if token in _FUNCTIONS:
        return _leaf("mi", token[1:])
    if token in _LETTERS:
        return _leaf("mi", _LETTERS[token])
    if token in _OPERATORS or not token.startswith("\\"):
        return _symbol(_OPERATORS.get(token, token))
    raise ValueError(f"{token} is not known")


def _symbol(text: str) -> Element:
    if text[0].isdigit():
        return _leaf("mn", text)
    if text.isalpha():
        return _leaf("mi", text)
    element = _leaf("mo", text)
    if text in _FENCES:
        element.set("stretchy", "false")
    if text == "|":  # a bracket here, and never an operator with room around it
        element.attrib |= {"lspace": "0", "rspace": "0"}
    return element


def _words(text: str) -> Element:
    """A name of several letters, or words with the spaces around them."""
    if text.isidentifier():
        return _leaf("mi", text)
    return _leaf("mtext", text.replace(" ", "\N{NO-BREAK SPACE}"))


def _with_scripts(base: Element, tokens: list[str]) -> Element:
    scripts: dict[str, Element] = {}
    while tokens and tokens[0] in ("_", "^"):
        kind = tokens.pop(0)
        if kind in scripts:
            raise ValueError(f"two {kind!r} at one place")
        scripts[kind] = _group(tokens)
    if not scripts:
        return base
    below_and_above = base.text in ("∏", "∑")
    names = {"_": "munder", "^": "mover"} if below_and_above else {"_": "msub", "^": "msup"}
    both = "munderover" if below_and_above else "msubsup"
    element = Element(both if len(scripts) > 1 else names[next(iter(scripts))])
    element.append(base)
    element.extend(scripts[kind] for kind in ("_", "^") if kind in scripts)
    return element


def _leaf(tag: str, text: str) -> Element:
    element = Element(tag)
    element.text = AtomicString(text)
    return element


class _Inline(InlineProcessor):
    def handleMatch(self, m: Any, data: str) -> Any:  # noqa: N802 (Markdown's name)
        return mathml(m[1]), m.start(0), m.end(0)


class _Display(BlockProcessor):
    def test(self, parent: Element, block: str) -> bool:
        text = block.strip()
        return len(text) > 4 and text.startswith("$$") and text.endswith("$$")

    def run(self, parent: Element, blocks: list[str]) -> None:
        formula = SubElement(parent, "div", {"class": "formula"})
        formula.append(mathml(blocks.pop(0).strip()[2:-2], display=True))


class Formulas(Extension):
    """Formulas between dollars, as MathML."""

    def extendMarkdown(self, md: Any) -> None:  # noqa: N802 (Markdown's name)
        """Register both kinds: after code, before the backslash that escapes."""
        inline = _Inline(r"(?<![\\$\w])\$(?![\s$])([^$]+?)(?<!\s)\$(?![\d$])", md)
        md.inlinePatterns.register(inline, "layerwise-formula", 185)
        md.parser.blockprocessors.register(_Display(md.parser), "layerwise-formula", 175)
