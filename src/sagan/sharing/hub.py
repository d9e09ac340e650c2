"""Models of the Hugging Face hub: the only file that names its library, imported when needed."""

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
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_KNOCK_SEC = 5.0
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
_NO_NETWORK = "cannot be reached (is there a network?)"


class NotInRepositoryError(ValueError):
    """The repository is there, the file is not.

    Args:
        address: of the repository.
        file: that it does not have.
    """

    def __init__(self, address: "Address", file: str) -> None:
        super().__init__(f"{address} has no {file}")
        self.file = file


@dataclass(frozen=True)
class Address:
    """A repository of models, and which of its versions.

    Args:
        repository: OWNER/NAME.
        revision: a branch, tag or commit; None takes the main branch.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}{f'@{self.revision}' if self.revision else ''}"

    @property
    def name(self) -> str:
        """Of the repository, without its owner."""
        return self.repository.partition("/")[2]


def parse(text: str | os.PathLike[str]) -> Address:
    """Read `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`; the prefix may be left out.

    Raises:
        ValueError: it is not of this form.

    Example:
        >>> parse("hub:me/cats@v1")
        Address(repository='me/cats', revision='v1')
    """
    name, at, revision = Path(text).as_posix().removeprefix(PREFIX).partition("@")
    if not _NAME.fullmatch(name) or bool(at) != bool(revision):
        raise ValueError(f"{text} names no model of the hub: {PREFIX}OWNER/NAME, or with @REVISION")
    return Address(name, revision or None)


def fetch(address: Address, file: str, *, most_bytes: int | None = None) -> tuple[Path, Address]:
    """Give a file of a repository, downloaded unless the copy that is kept is still the newest.

    Without a network, or with HF_HUB_OFFLINE=1, it is the copy that was kept last.

    Args:
        address: of the repository.
        file: its name there.
        most_bytes: larger ones are not downloaded; None takes any.

    Returns:
        Where it lies, and the address of the very commit that it is from.

    Raises:
        NotInRepositoryError: the repository has no such file.
        ValueError: it is larger; there is no such repository or revision, or not for this user;
            there is no network and no copy; or the library is missing.
    """
    library = _library()
    wanted: dict[str, Any] = {
        "repo_id": address.repository,
        "filename": file,
        "revision": address.revision,
        "library_name": "sagan",
        "library_version": __version__,
        "local_files_only": not _is_reachable(),
    }
    with _said_in_one_line(address, file):
        found = library.hf_hub_download(**wanted, dry_run=True)
        if most_bytes is not None and (found.file_size or 0) > most_bytes:
            raise ValueError(
                f"{address}: {file} has {found.file_size:,} bytes, too many for one of sagan's "
                f"(at most {most_bytes:,}); it was not downloaded"
            )
        path = Path(library.hf_hub_download(**wanted))
    return path, Address(address.repository, found.commit_hash)


def list_files(address: Address) -> list[str]:
    """List a repository's files; none where the hub does not say."""
    with _said_in_one_line(address, "its list of files"):
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
    """Commit files of a folder to a repository, which is made where there is none.

    Args:
        folder: that they lie in.
        repository: OWNER/NAME.
        files: their names.
        kept: of them, those that stay as they are in the repository if they are there.
        commit_message: of the commit.
        private: whether a new repository is; None leaves it to the owner's settings.
        branch: to commit to; None takes the main one.

    Returns:
        The commit's address.

    Raises:
        ValueError: the repository is to be private and is public; there is no such branch, no
            permission, no network, or the library is missing.
    """
    address = Address(parse(repository).repository, branch)
    api = _library().HfApi(library_name="sagan", library_version=__version__)
    if not _is_reachable():
        raise ValueError(f"{address} {_offline_reason()}")
    with _said_in_one_line(address, "it", writing=True):
        api.create_repo(address.repository, private=private, exist_ok=True)
        if private and not api.model_info(address.repository).private:
            raise ValueError(f"{address} is there already, and public: nothing was pushed")
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
    """Knock at the hub once: its library would try for half a minute before giving up.

    Raises:
        ImportError: the library, which knows the hub's address, is missing.
    """
    from urllib.request import getproxies  # which is slow to import

    endpoint = urlsplit(_constants().ENDPOINT)
    if {endpoint.scheme, "all"} & set(getproxies()):
        return True  # which is for the proxy to say
    port = endpoint.port or {"http": 80}.get(endpoint.scheme, 443)
    try:
        socket.create_connection((endpoint.hostname or "", port), _KNOCK_SEC).close()
    except OSError:
        return False
    return True


def _offline_reason() -> str:
    if _constants().HF_HUB_OFFLINE:
        return "needs the network, and HF_HUB_OFFLINE is set"
    return _NO_NETWORK


@contextmanager
def _said_in_one_line(address: Address, file: str, *, writing: bool = False) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of the hub's library and of its HTTP library
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
    """Say what is wrong; None of what is not the hub's."""
    if "LocalEntryNotFoundError" in kinds:  # the cause says why it had to be a local one
        inner = error.__cause__
        if not isinstance(inner, Exception) or _status(inner) is None:
            return f"{_offline_reason()}; and no copy of its {file} is kept here"
        error, kinds = inner, {kind.__name__ for kind in type(inner).__mro__}
    status = _status(error)
    if "RevisionNotFoundError" in kinds:
        return f"is not there: {address.repository} has no revision {address.revision or 'main'!r}"
    if "GatedRepoError" in kinds:
        return f"is gated: ask for access on its page, and {_LOG_IN}"
    if "RepositoryNotFoundError" in kinds and not writing:
        return f"is no model of the hub, or a private one: check the name, and {_LOG_IN}"
    if status in (401, 403, 404):
        may = "be written to" if writing else "be read"
        return f"cannot {may} by you (the hub answers {status}): {_LOG_IN}"
    if status is not None:
        return f"cannot be had now: the hub answers {status} ({one_line(error, 200)})"
    library = type(error).__module__.partition(".")[0]
    if library.startswith("httpx") or kinds & {"ConnectionError", "TimeoutError"}:
        return _offline_reason()
    if isinstance(error, OSError) and error.errno is None:
        return f"was cut short on its way: {one_line(error, 200)}"
    return None


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)
