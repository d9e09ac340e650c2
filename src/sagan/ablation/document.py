"""A report's parts, as Markdown with pictures beside it, and as one HTML file that holds them."""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sagan.sharing.card import table_cell

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .7rem; text-align: left; }
td { font-variant-numeric: tabular-nums; }
img { max-width: 100%; }
figcaption, .note { color: #555; font-size: .9rem; }
.verdict { border-left: 4px solid #4363d8; padding: .5rem 1rem; background: #f4f6fd; }
"""


@dataclass(frozen=True)
class Heading:
    """A section's title."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Words; the first of a report is its verdict."""

    text: str
    verdict: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first row above the others."""

    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Exhibit:
    """A PNG by name, which lies in the folder `figures`."""

    name: str
    png: bytes
    caption: str


Part = Heading | Paragraph | Bullets | Table | Exhibit


def to_markdown(title: str, parts: Sequence[Part]) -> str:
    r"""The report as Markdown.

    Example:
        >>> print(to_markdown("T", [Heading("H"), Table([["a", "|b|"], ["1", "2"]])]))
        # T
        <BLANKLINE>
        ## H
        <BLANKLINE>
        | a | \|b\| |
        |---|---|
        | 1 | 2 |
        <BLANKLINE>
    """
    blocks = [f"# {title}"]
    for part in parts:
        match part:
            case Heading(text):
                blocks.append(f"## {text}")
            case Paragraph(text, verdict):
                blocks.append(f"**{text}**" if verdict else text)
            case Bullets(items):
                blocks.append("\n".join(f"- {item}" for item in items))
            case Table(rows):
                first, *others = [f"| {' | '.join(map(table_cell, row))} |" for row in rows]
                blocks.append("\n".join([first, "|---" * len(rows[0]) + "|", *others]))
            case Exhibit(name, _, caption):
                blocks.append(f"![{caption}](figures/{name})\n\n*{caption}*")
    return "\n\n".join(blocks) + "\n"


def to_html(title: str, parts: Sequence[Part]) -> str:
    """The report as HTML that loads nothing.

    Example:
        >>> "<h2>a &lt; b</h2>" in to_html("T", [Heading("a < b")])
        True
    """
    blocks = []
    for part in parts:
        match part:
            case Heading(text):
                blocks.append(f"<h2>{_inline(text)}</h2>")
            case Paragraph(text, verdict):
                blocks.append(f"<p{' class=verdict' if verdict else ''}>{_inline(text)}</p>")
            case Bullets(items):
                blocks.append(f"<ul>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</ul>")
            case Table(rows):
                first, *others = rows
                head = "".join(f"<th>{_inline(cell)}</th>" for cell in first)
                body = "".join(
                    f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>"
                    for row in others
                )
                blocks.append(f"<table><tr>{head}</tr>{body}</table>")
            case Exhibit(_, png, caption):
                data = base64.b64encode(png).decode()
                blocks.append(
                    f'<figure><img alt="{html.escape(caption)}" '
                    f'src="data:image/png;base64,{data}">'
                    f"<figcaption>{_inline(caption)}</figcaption></figure>"
                )
    name = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{name}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n<h1>{name}</h1>\n" + "\n".join(blocks) + "\n</html>\n"
    )


def _inline(text: str) -> str:
    """Escape text, with its `code` set as such."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
