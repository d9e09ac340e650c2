"""A local hub that answers what huggingface_hub asks to read, create and commit."""

import base64
import hashlib
import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

from huggingface_hub import close_session, constants

TOKEN = "hf_test"


class Hub:
    """Repositories and how they answer.

    `repositories`: files by name, by revision, by repository; `answers`: by repository, an HTTP
    status and error code to send instead; `cut`: files whose last bytes are not sent.
    """

    def __init__(self):
        self.repositories, self.answers, self.private = {}, {}, {}
        self.cut, self.asked, self.address = set(), [], ""

    def put(self, name, files, revision="main"):
        """Make a repository, or a version of one."""
        self.repositories.setdefault(name, {"main": {}})[revision] = dict(files)

    def downloads(self):
        """The names of the files whose content was sent."""
        got = [path for method, path in self.asked if method == "GET" and "/resolve/" in path]
        return [path.rpartition("/")[2] for path in got]


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        """Say nothing."""

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def do_POST(self):
        self._answer()

    def _answer(self):
        path = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append((self.command, path))
        for pattern, answer in (
            (r"/api/repos/create", self._create),
            (r"/api/validate-yaml", lambda: self._json({"errors": [], "warnings": []})),
            (r"/api/models/([^/]+/[^/]+)/tree/(.+)", self._tree),
            (r"/api/models/([^/]+/[^/]+)/preupload/(.+)", self._preupload),
            (r"/api/models/([^/]+/[^/]+)/commit/(.+)", self._commit),
            (r"/api/models/([^/]+/[^/]+)", self._info),
            (r"/([^/]+/[^/]+)/resolve/(.+)/([^/]+)", self._resolve),
        ):
            match = re.fullmatch(pattern, path)
            if match:
                return answer(*match.groups())
        return self._refuse(404, "NotFound")

    def _files(self, name, revision):
        """The files of a version, or None where an error was sent."""
        if name in self.hub.answers:
            return self._refuse(*self.hub.answers[name])
        if name not in self.hub.repositories:
            return self._refuse(401, "RepoNotFound")
        versions = self.hub.repositories[name]
        by_commit = {commit_of(files): files for files in versions.values()}
        if revision not in versions | by_commit:
            return self._refuse(404, "RevisionNotFound")
        return (versions | by_commit)[revision]

    def _resolve(self, name, revision, file):
        files = self._files(name, revision)
        if files is None:
            return
        commit = {"X-Repo-Commit": commit_of(files)}
        if file not in files:
            self._refuse(404, "EntryNotFound", commit)
            return
        content = files[file]
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        size = {"X-Linked-Size": str(len(content))} if self.command == "HEAD" else {}
        if file in self.hub.cut and self.command == "GET":
            content = content[: len(content) // 2]
        self._send(200, content, {**commit, **size, "ETag": etag})

    def _tree(self, name, revision):
        files = self._files(name, revision)
        if files is not None:
            self._json(
                [
                    {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
                    for path, content in files.items()
                ]
            )

    def _may_write(self):
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        return self._refuse(401, "")

    def _create(self):
        if not self._may_write():
            return
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        answer = {"url": f"{self.hub.address}/{name}", "name": name, "id": "0"}
        if name in self.hub.answers:
            self._refuse(*self.hub.answers[name])
        elif name in self.hub.repositories:
            self._json(answer, 409)
        else:
            self.hub.put(name, {".gitattributes": b"* lfs\n"})
            self.hub.private[name] = wanted.get("visibility") == "private" or wanted.get("private")
            self._json(answer)

    def _info(self, name):
        files = self._files(name, "main")
        if files is not None:
            private = bool(self.hub.private.get(name))
            self._json({"id": name, "private": private, "siblings": [], "sha": commit_of(files)})

    def _preupload(self, name, revision):
        if self._may_write() and self._files(name, revision) is not None:
            listed = json.loads(self.body)["files"]
            plain = {"uploadMode": "regular", "shouldIgnore": False}
            self._json({"files": [{"path": file["path"], **plain} for file in listed]})

    def _commit(self, name, revision):
        files = self._files(name, revision) if self._may_write() else None
        if files is None:
            return
        for line in self.body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        commit = commit_of(files)
        url = f"{self.hub.address}/{name}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url})

    def _json(self, content, status=200):
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status, code, headers=None):
        content = json.dumps({"error": code}).encode()
        self._send(status, content, {**(headers or {}), "X-Error-Code": code})

    def _send(self, status, content, headers):
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def commit_of(files):
    """A version's 40 hexadecimal digits."""
    digest = hashlib.sha1()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + content)
    return digest.hexdigest()


@contextmanager
def serve_hub(monkeypatch, cache):
    """Run a hub that huggingface_hub asks, with a cache of its own."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answer", (_Answer,), {"hub": hub}))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    try:
        yield hub
    finally:
        close_session()
        server.shutdown()
        server.server_close()
        thread.join()
