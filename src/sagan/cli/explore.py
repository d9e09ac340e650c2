"""`sagan explore`."""

import importlib.util
import secrets
import signal
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sagan.config import run_config_from_dict
from sagan.config.network import why_no_maps
from sagan.files import parse_json
from sagan.runs.place import RUN_OR_CHECKPOINT, locate

PORT = 8377
_MIN_TOKEN_CHARACTERS = 16


def explore(
    run: Path,
    /,
    *,
    port: int = PORT,
    host: str = "127.0.0.1",
    token: str | None = None,
    open_browser: Annotated[bool, Parameter(name="--open")] = True,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> None:
    """Explore a run's attention on a live page in the browser.

    Point at any pixel of a generated image and see where its attention looks;
    change the image, the attention and the point in training. Serves only
    this machine unless --host says otherwise. Stop it with Ctrl-C.

    Parameters
    ----------
    run
        A run folder or a checkpoint folder.
    port
        Port to listen on; 0 takes a free one.
    host
        Address to listen on; any but loopback needs a token.
    token
        Token that the page's address must carry, 16 characters or more; generated if --host needs
        one.
    open_browser
        Open the page in the browser.
    device
        Device to compute on.
    """
    _check_run(run)
    if not 0 <= port <= 65535:
        raise ValueError(f"--port must be from 0 to 65535, not {port}")
    if token is not None and not _is_token(token):
        raise ValueError(
            f"--token must be at least {_MIN_TOKEN_CHARACTERS} ASCII letters, digits, - or _"
        )
    if not all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn")):
        raise ValueError("explore needs FastAPI and uvicorn: pip install 'sagan[web]'")
    from sagan.explain.live import server
    from sagan.explain.page import assemble

    if token is None and not server.is_loopback(host):
        token = secrets.token_urlsafe(24)
    queue, failure = server.RenderQueue(), []
    page = assemble({"mode": "live"}, title=run.resolve().name)
    app = server.make_app(queue, page, server.Gate(host.lower(), token))
    listening = server.open_socket(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}/" + (f"#token={token}" if token else "")

    def load(stop: Callable[[], None]) -> None:
        try:  # torch is imported here, while the page is already served
            from sagan.devices import pick_device
            from sagan.explain.live.studio import Studio

            queue.open(Studio(run, device=pick_device(device)))
        except BaseException as error:
            failure.append(error)
            stop()

    def started(stop: Callable[[], None]) -> None:
        print(f"{address} shows {run}; Ctrl-C stops it", file=sys.stderr, flush=True)
        threading.Thread(target=load, args=[stop], daemon=True).start()
        if open_browser:
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)),
        # shells start background programs with Ctrl-C ignored
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    try:
        with listening:
            server.serve(app, listening, started=started)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if failure:
        raise failure[0]


def _check_run(run: Path) -> None:
    """Refuse anything that is clearly not a run with attention, before torch is loaded."""
    if locate(run).require(*RUN_OR_CHECKPOINT).kind == "checkpoint":
        return
    file = run / "config.json"
    if not file.is_file():
        raise ValueError(f"{run} is not a run folder: it has no config.json")
    try:
        network = run_config_from_dict(parse_json(file.read_bytes())).network
    except ValueError as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    if not network.g_maps and not network.d_maps:
        raise ValueError(f"{run} {why_no_maps(network)}: there is nothing to explore")


def _is_token(text: str) -> bool:
    allowed = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return allowed and len(text) >= _MIN_TOKEN_CHARACTERS
