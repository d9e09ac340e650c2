"""Models on the Hugging Face hub. Only this file names its library, imported when needed."""

import importlib
import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sagan.text import one_line
from sagan.version import __version__

PREFIX = "hub:"
_NAME = re.compile(r"\w([\w.-]*\w)?/\w([\w.-]*\w)?", re.ASCII)
_CONNECT_SEC = 5.0
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


class NotInRepositoryError(ValueError):
    """The repository exists, but not the file."""

    def __init__(self, address: "Address", file: str) -> None:
        super().__init__(f"{address} has no {file}")
        self.file = file


@dataclass(frozen=True)
class Address:
    """A model repository at one of its revisions."""

    repository: str  # OWNER/NAME
    revision: str | None = None  # a branch, tag or commit; None is the main branch

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}{f'@{self.revision}' if self.revision else ''}"

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repository.partition("/")[2]


def parse(text: str | os.PathLike[str]) -> Address:
    """Parse `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`; the prefix is optional.

    Example:
        >>> parse("hub:me/cats@v1")
        Address(repository='me/cats', revision='v1')
    """
    name, at, revision = Path(text).as_posix().removeprefix(PREFIX).partition("@")
    if not _NAME.fullmatch(name) or bool(at) != bool(revision):
        raise ValueError(f"{text} is not a hub address: {PREFIX}OWNER/NAME, or with @REVISION")
    return Address(name, revision or None)


def parse_to_push(text: str | os.PathLike[str]) -> Address:
    """Parse the address of a repository; ValueError if it has a revision, which stays as it is."""
    address = parse(text)
    if address.revision is not None:
        raise ValueError(f"{text} names a revision: to push, give {PREFIX}{address.repository}")
    return address


def fetch(address: Address, file: str, *, max_bytes: int | None = None) -> tuple[Path, Address]:
    """Get a file's local copy, updated if there is a network, and the address of its commit."""
    # files above `max_bytes` are refused before the download; HF_HUB_OFFLINE=1 takes the last copy
    library = _library()
    wanted: dict[str, Any] = {
        "repo_id": address.repository,
        "filename": file,
        "revision": address.revision,
        "library_name": "sagan",
        "library_version": __version__,
        "local_files_only": not _is_reachable(),
    }
    with _errors_in_one_line(address, file):
        found = library.hf_hub_download(**wanted, dry_run=True)
        if max_bytes is not None and (found.file_size or 0) > max_bytes:
            raise ValueError(
                f"{address}: {file} has {found.file_size:,} bytes, too many for one of sagan's "
                f"(at most {max_bytes:,}); it was not downloaded"
            )
        path = Path(library.hf_hub_download(**wanted))
    return path, Address(address.repository, found.commit_hash)


def list_files(address: Address) -> list[str]:
    """List a repository's files."""
    with _errors_in_one_line(address, "its list of files"):
        files: list[str] = (
            _library().HfApi().list_repo_files(address.repository, revision=address.revision)
        )
    return files


def push(
    folder: Path,
    repository: str,
    *,
    files: Iterable[str],
    kept: Iterable[str] = (),
    commit_message: str,
    private: bool | None = None,
    branch: str | None = None,
) -> str:
    """Commit files of a folder to a repository, created if needed, and return the commit's URL."""
    # `kept` files are not overwritten if the repository has them; `private=True` refuses a
    # repository that is already public; None leaves a new one to the owner's default
    address = Address(parse_to_push(repository).repository, branch)
    api = _library().HfApi(library_name="sagan", library_version=__version__)
    if not _is_reachable():
        raise ValueError(f"{address} {_offline_reason()}")
    with _errors_in_one_line(address, "it", writing=True):
        api.create_repo(address.repository, private=private, exist_ok=True)
        if private and not api.model_info(address.repository).private:
            raise ValueError(f"{address} is already there and public: nothing was pushed")
        there = {n for n in kept if api.file_exists(address.repository, n, revision=branch)}
        done = api.upload_folder(
            repo_id=address.repository,
            folder_path=folder,
            allow_patterns=[name for name in files if name not in there],
            commit_message=commit_message,
            revision=branch,
        )
        return str(done.commit_url)


def _library() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise ValueError(
            "models of the hub need the library huggingface_hub: pip install 'sagan[hub]'"
        ) from None


def _constants() -> Any:
    return importlib.import_module("huggingface_hub.constants")


def _is_reachable() -> bool:
    return not _constants().HF_HUB_OFFLINE and answers()


def answers() -> bool:
    """Try to connect to the hub once; its library would retry for half a minute."""
    from urllib.request import getproxies  # which is slow to import

    endpoint = urlsplit(_constants().ENDPOINT)
    if {endpoint.scheme, "all"} & set(getproxies()):
        return True  # only the proxy can tell
    port = endpoint.port or {"http": 80}.get(endpoint.scheme, 443)
    try:
        socket.create_connection((endpoint.hostname or "", port), _CONNECT_SEC).close()
    except OSError:
        return False
    return True


def _offline_reason() -> str:
    if _constants().HF_HUB_OFFLINE:
        return "needs the network, and HF_HUB_OFFLINE is set"
    return "cannot be reached (is there a network?)"


@contextmanager
def _errors_in_one_line(address: Address, file: str, *, writing: bool = False) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # from the hub's library or its HTTP library
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "RemoteEntryNotFoundError" in kinds:
            raise NotInRepositoryError(address, file) from None
        reason = _reason(error, kinds, address, file, writing)
        if reason is None:
            raise
        raise ValueError(f"{address} {reason}") from None


def _reason(
    error: Exception, kinds: set[str], address: Address, file: str, writing: bool
) -> str | None:
    """Say what is wrong; None if the error is not the hub's."""
    if "LocalEntryNotFoundError" in kinds:  # its cause says why the file was looked for locally
        inner = error.__cause__
        if not isinstance(inner, Exception) or _status(inner) is None:
            return f"{_offline_reason()}; and there is no local copy of its {file}"
        error, kinds = inner, {kind.__name__ for kind in type(inner).__mro__}
    status = _status(error)
    if "RevisionNotFoundError" in kinds:
        return f"is not there: {address.repository} has no revision {address.revision or 'main'!r}"
    if "GatedRepoError" in kinds:
        return f"is gated: ask for access on its page, and {_LOG_IN}"
    if "RepositoryNotFoundError" in kinds and not writing:
        return f"does not exist on the hub, or is private: check the name, and {_LOG_IN}"
    if status in (401, 403, 404):
        action = "written" if writing else "read"
        return f"cannot be {action} with your account (the hub answers {status}): {_LOG_IN}"
    if status is not None:
        return f"cannot be accessed now: the hub answers {status} ({one_line(error, 200)})"
    library = type(error).__module__.partition(".")[0]
    if library.startswith("httpx") or kinds & {"ConnectionError", "TimeoutError"}:
        return _offline_reason()
    if isinstance(error, OSError) and error.errno is None:
        return f"was cut short in transfer: {one_line(error, 200)}"
    return None


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)
