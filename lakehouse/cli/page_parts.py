"""HTML as a tree: elements, prose with code in it, and the style of the pages that the command line writes.

A tree is escaped where it is printed, so that no name or text of a policy can be markup. Pages stand alone: no script, no
picture, nothing from elsewhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, tostring

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCTYPE = "<!DOCTYPE html>"
#: Nothing may be loaded or run, whatever a browser takes a text for.
_ALONE = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
#: What HTML has no character for, and what turns the direction of text so that it reads as another.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: Behind these a long name may go on in the next line.
_BREAKS = re.compile("(?<=[._/-])(?!yaml)(?=.)")
_STYLE = """
:root { color-scheme: light; --ink: #1b1f24; --soft: #4d5560; --line: #c9ced6; --paper: #fff; --shade: #f3f5f8; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 2rem 4rem; max-width: 110rem; color: var(--ink); background: var(--paper);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1.05rem; margin: 2.2rem 0 .2rem; overflow-wrap: anywhere; }
h4 { font-size: .9rem; margin: .9rem 0 .2rem; }
p { margin: .3rem 0 .6rem; max-width: 75rem; }
a { color: #0b4f9e; }
:focus-visible { outline: 3px solid #0b4f9e; outline-offset: 2px; }
code { font: .92em ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow-wrap: break-word; }
.soft, .where { color: var(--soft); }
.where { font-size: .85em; }
.wide { overflow-x: auto; margin: .4rem 0 .6rem; }
table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; color: var(--soft); padding: 0 0 .3rem; }
th, td { border: 1px solid var(--line); padding: .28rem .55rem; text-align: left; vertical-align: top; }
thead th { background: var(--shade); }
th small, td small { display: block; font-weight: normal; color: var(--soft); }
tbody th { font-weight: 600; }
.matrix tbody th { background: var(--paper); position: sticky; left: 0; }
.matrix td.shown { white-space: nowrap; }
td ul { margin: 0; padding-left: 1rem; }
sup { line-height: 0; } sup a { text-decoration: none; padding: 0 .1rem; }
.hide { background: #e7e8ec; } .redact { background: #d9dce3; } .part { background: #fff0bf; }
.token { background: #d3e5fb; } .clear { background: #e2f3e4; } .open { background: #fbcfbb; font-weight: 600; }
.restricted { font-weight: 600; color: #8a1f11; }
.rules { font-size: .85rem; margin: .2rem 0 .4rem; padding-left: 2.2rem; columns: 34rem; column-gap: 2.5rem; }
.rules li { break-inside: avoid; margin-bottom: .15rem; }
.rules li:target { background: #fff0bf; }
.contents { columns: 19rem; padding-left: 1.2rem; } .contents li { break-inside: avoid; }
.notes { max-width: 75rem; padding-left: 1.2rem; }
@media print {
  @page { size: A4 landscape; margin: 11mm 10mm; }
  body { padding: 0; max-width: none; font-size: 9.5pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .wide { overflow: visible; } .contents, .up { display: none; }
  table { font-size: 8pt; width: auto; } th, td { padding: .12rem .35rem; }
  .matrix td.shown { white-space: normal; } .matrix tbody th { position: static; overflow-wrap: anywhere; }
  thead { display: table-header-group; } tr { break-inside: avoid; }
  h2, h3, h4, caption { break-after: avoid; } section.table { break-before: page; }
  .rules { font-size: 7.5pt; columns: 3; } a { color: inherit; text-decoration: none; }
}
"""


def make(tag: str, *inside: Element | str, **attributes: str) -> Element:
    """An element; `class_` is `class`, underscores are dashes."""
    named = {name.rstrip("_").replace("_", "-"): clean(value) for name, value in attributes.items() if value}
    element = Element(tag, named)
    for part in inside:
        if isinstance(part, str):
            _append_text(element, clean(part))
        else:
            element.append(part)
    return element


def prose(text: str) -> Element:
    """A sentence in which backticks mark code."""
    return make("span", *(name(part) if odd % 2 else part for odd, part in enumerate(text.split("`")) if part))


def name(text: str, tag: str = "code", **attributes: str) -> Element:
    """A name or a place, which may be broken behind its dots, dashes and slashes, and not within `file.yaml:line`."""
    element = make(tag, **attributes)
    for place, part in enumerate(_BREAKS.split(clean(text))):
        if place:
            element.append(make("wbr"))
        _append_text(element, part)
    return element


def table(headings: Iterable[str], lines: Iterable[Iterable[Element | str]], *, caption: str) -> Element:
    """A table whose first cell of each line names the line; it can be scrolled when it is too wide."""
    body = make("tbody")
    for first, *others in (list(line) for line in lines):
        body.append(make("tr", make("th", first, scope="row"), *(make("td", cell) for cell in others)))
    head = make("thead", make("tr", *(make("th", heading, scope="col") for heading in headings)))
    return wide(make("table", make("caption", caption), head, body), caption)


def wide(inside: Element, label: str) -> Element:
    """What may be wider than the window: a region that the keyboard reaches and scrolls."""
    return make("div", inside, class_="wide", role="region", aria_label=label, tabindex="0")


def document(title: str, *inside: Element) -> str:
    """A whole page."""
    head = make(
        "head",
        make("meta", charset="utf-8"),
        make("meta", http_equiv="Content-Security-Policy", content=_ALONE),
        make("meta", name="viewport", content="width=device-width, initial-scale=1"),
        make("title", title),
        make("style", _STYLE),
    )
    tree = make("html", head, make("body", make("main", *inside)), lang="en")
    return f"{DOCTYPE}\n{tostring(tree, encoding='unicode', method='html')}\n"


def clean(text: str) -> str:
    """Characters that a page cannot hold are shown as such."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def _append_text(element: Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text
