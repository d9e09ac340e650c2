"""The one HTML page of `sagan explain` and `sagan explore`: its parts, put together.

Style and script are in the page itself and named by their hashes in its content-security policy;
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

# in the order in which the names in them are needed
_SCRIPTS = ("bundle.js", "colours.js", "draw.js", "words.js", "explorer.js", "live.js", "start.js")


class Page(NamedTuple):
    """A page and the policy that it must be served with."""

    html: str
    policy: str


def assemble(data: Mapping[str, Any], *, title: str, bundles: Sequence[str] = ()) -> Page:
    """Put the page together.

    Args:
        data: what the script starts from, as JSON: `mode` (`report` or `live`) and what it needs.
        title: of the page.
        bundles: for a report, each image's bundle: zlib, then base64.

    Example:
        >>> page = assemble({"mode": "live"}, title="demo")
        >>> "<title>demo" in page.html, "unsafe" in page.policy
        (True, False)
    """
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
        # no "</script>" in it whatever a class is called
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
