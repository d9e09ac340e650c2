"""The HTML page of `sagan explain` and `sagan explore`, assembled from its parts.

Style and scripts are inline and named by their hashes in the page's content-security policy:
nothing else may run, and nothing is loaded from anywhere but the server that the page came from.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

# in the order in which they use each other's names
_SCRIPTS = ("bundle.js", "colours.js", "draw.js", "words.js", "explorer.js", "live.js", "start.js")


class Page(NamedTuple):
    """A page and the content-security policy to serve it with."""

    html: str
    policy: str


def assemble(data: Mapping[str, Any], *, title: str, bundles: Sequence[str] = ()) -> Page:
    """Assemble the page, whose script starts from `data`: its `mode` is `report` or `live`."""
    # a report also has a bundle for each image, zlib then base64
    style = _read("page.css")
    script = "".join(_read(name) for name in _SCRIPTS)
    network = "connect-src 'self'; " if data["mode"] == "live" else ""
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        f"img-src data: blob:; {network}base-uri 'none'; form-action 'none'"
    )
    parts = {
        "title": html.escape(title),
        "policy": policy,
        "style": style,
        "script": script,
        # a class may be named "</script>"
        "data": json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
        "bundles": "\n".join(
            f'<script type="text/plain" class="bundle">{bundle}</script>' for bundle in bundles
        ),
    }
    page = _read("page.html")
    for name, value in parts.items():
        before, after = page.split(f"<!--{name}-->")
        page = before + value + after
    return Page(page, policy)


@cache
def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
