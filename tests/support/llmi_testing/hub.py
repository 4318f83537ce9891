"""A small model hub that misbehaves on request.

It serves folders as repositories, over the same HTTP protocol as the public hub, and needs nothing but Python::

    python -m llmi_testing.hub --root DIR --port 8000 [--script FILE]

``DIR/owner/name/`` is the repository ``owner/name``. A script is JSON: repository name → behaviour, see `Behaviour`.
A file ``behaviour.json`` inside a repository's folder does the same for that repository, and is not served.
"""

import argparse
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

SCRIPT_NAME = "behaviour.json"
_BIG = ".safetensors"
_BLOCK = 65_536


@dataclass(kw_only=True)
class Behaviour:
    """How a repository is served.

    Attributes:
        token: The token that is wanted; without it, or with another, the answer is 401.
        hidden: Pretend that the repository does not exist: 401 without a token, 404 with one, as the public hub does.
        gated: Answer 403 to files, as for an account that was not granted access.
        revisions: Names that mean the one commit, besides ``main`` and the commit itself.
        bytes_per_second: Speed of each file; 0 is unlimited.
        cut_after_bytes: Drop the connection after so many bytes of a weights file,
        cut_times: the first so many times.
        fail_times: Answer the first so many requests with ``fail_status``.
        fail_status: See ``fail_times``.
        retry_after: Header of such answers.
        wrong_hash: Announce a hash that the weights do not have.
        redirect_to: Base address that serves the files' bytes; the hub answers 302 to it.
        ignore_range: Send whole files whatever range is asked for.
        lengths: Say how many bytes an answer with a file has; without, it ends when the connection does.
        sizes: Announce sizes and hashes.
        announced_bytes: Announce this size for weights, whatever they have.
        moved_to: The commit that ``main`` names by now, while the files stay those of the one commit.
    """

    token: str | None = None
    hidden: bool = False
    gated: bool = False
    revisions: tuple[str, ...] = ()
    bytes_per_second: int = 0
    cut_after_bytes: int = 0
    cut_times: int = 0
    fail_times: int = 0
    fail_status: int = 500
    retry_after: str | None = None
    wrong_hash: bool = False
    redirect_to: str | None = None
    ignore_range: bool = False
    lengths: bool = True
    sizes: bool = True
    announced_bytes: int | None = None
    moved_to: str | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request that the hub got."""

    path: str
    authorization: str | None
    range: str | None

    @property
    def is_look(self) -> bool:
        """Whether only the file's beginning was asked for, before the download."""
        return self.range is not None and not self.range.endswith("-")


@dataclass(kw_only=True)
class FakeHub:
    """The state of a hub: its folder, its script, and what it was asked."""

    root: Path
    script: dict[str, Behaviour] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def behaviour(self, repository: str) -> Behaviour:
        """Return how a repository behaves; the same object each time, so that it can count down."""
        with self.lock:
            if repository not in self.script:
                path = self.root / repository / SCRIPT_NAME
                self.script[repository] = read_behaviour(json.loads(path.read_text()) if path.is_file() else {})
            return self.script[repository]

    def commit(self, repository: str) -> str:
        """Return the one commit of a repository: a hash of its files' names and sizes."""
        known = hashlib.sha1(repository.encode(), usedforsecurity=False)
        for path in self.files(repository):
            known.update(f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}\n".encode())
        return known.hexdigest()

    def files(self, repository: str) -> list[Path]:
        """Return a repository's files."""
        folder = self.root / repository
        return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SCRIPT_NAME)


def read_behaviour(values: dict[str, Any]) -> Behaviour:
    """Return a behaviour from JSON, refusing what it does not know."""
    unknown = set(values) - {entry.name for entry in fields(Behaviour)}
    if unknown:
        raise SystemExit(f"{min(unknown)} is not a behaviour.")
    return Behaviour(**values)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        seen = Seen(path=self.path, authorization=self.headers["authorization"], range=self.headers["range"])
        self.hub.requests.append(seen)
        parts = [unquote(part) for part in target.path.strip("/").split("/")]
        if parts[:2] == ["api", "models"] and "revision" in parts:
            at = parts.index("revision")
            self._describe("/".join(parts[2:at]), "/".join(parts[at + 1 :]))
        elif "resolve" in parts:
            at = parts.index("resolve")
            self._resolve("/".join(parts[:at]), parts[at + 1], "/".join(parts[at + 2 :]))
        else:
            self._refuse(404, "")

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def _describe(self, repository: str, revision: str) -> None:
        behaviour = self._admitted(repository, revision)
        if behaviour is None:
            return
        siblings = [self._sibling(repository, path, behaviour) for path in self.hub.files(repository)]
        moved = behaviour.moved_to if revision == "main" else None
        body = {"id": repository, "sha": moved or self.hub.commit(repository), "siblings": siblings}
        self._send(200, json.dumps(body).encode(), {"content-type": "application/json"})

    def _sibling(self, repository: str, path: Path, behaviour: Behaviour) -> dict[str, Any]:
        name = str(path.relative_to(self.hub.root / repository))
        if not behaviour.sizes:
            return {"rfilename": name}
        announced = behaviour.announced_bytes if name.endswith(_BIG) else None
        size = announced or path.stat().st_size
        entry: dict[str, Any] = {"rfilename": name, "size": size, "blobId": _git_hash(path)}
        if name.endswith(_BIG):
            digest = "0" * 64 if behaviour.wrong_hash else _sha256(path)
            entry["lfs"] = {"sha256": digest, "size": size, "pointerSize": 134}
        return entry

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        behaviour = self._admitted(repository, revision)
        if behaviour is None:
            return
        path = self.hub.root / repository / name
        if path not in self.hub.files(repository):
            self._refuse(404, "EntryNotFound")
        elif behaviour.gated:
            self._refuse(403, "GatedRepo")
        elif behaviour.redirect_to:
            location = f"{behaviour.redirect_to}/{repository}/resolve/{revision}/{name}"
            self._send(302, b"", {"location": location})
        else:
            self._send_file(path, behaviour)

    def _admitted(self, repository: str, revision: str) -> Behaviour | None:
        """Return the behaviour if the request may pass, else answer it."""
        behaviour = self.hub.behaviour(repository)
        with self.hub.lock:
            failing = behaviour.fail_times > 0
            behaviour.fail_times -= failing
        token = (self.headers["authorization"] or "").removeprefix("Bearer ")
        exists = bool(self.hub.files(repository)) and not behaviour.hidden
        if failing:
            extra = {"retry-after": behaviour.retry_after} if behaviour.retry_after is not None else {}
            self._send(behaviour.fail_status, b"try again", extra)
        elif behaviour.token is not None and token != behaviour.token:
            self._refuse(401, "")
        elif not exists:
            self._refuse(404 if token else 401, "RepoNotFound")
        elif revision not in ("main", self.hub.commit(repository), *behaviour.revisions):
            self._refuse(404, "RevisionNotFound")
        else:
            return behaviour
        return None

    def _send_file(self, path: Path, behaviour: Behaviour) -> None:
        size, begin = path.stat().st_size, 0
        wanted, end = self.headers["range"], size
        if wanted and not behaviour.ignore_range:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(size, int(last) + 1) if last else size
        if begin >= size > 0:
            self._send(416, b"", {"content-range": f"bytes */{size}"})
            return
        part = end - begin < size
        self.send_response(206 if part else 200)
        if behaviour.lengths:
            self.send_header("content-length", str(end - begin))
        else:
            self.send_header("connection", "close")  # and so does the server then
        self.send_header("accept-ranges", "bytes")
        if part:
            self.send_header("content-range", f"bytes {begin}-{end - 1}/{size}")
        self.end_headers()
        if self.command == "GET":
            # What breaks, and takes its time, is the download, not the look at a file's beginning before it.
            looks = wanted is not None and not wanted.endswith("-")
            cut, speed = (end - begin, 0) if looks else (self._cut(path, behaviour), behaviour.bytes_per_second)
            self._send_bytes(path, begin, cut, speed)

    def _cut(self, path: Path, behaviour: Behaviour) -> int | None:
        """Return after how many bytes the connection drops, if it does."""
        with self.hub.lock:
            if not path.name.endswith(_BIG) or behaviour.cut_times <= 0:
                return None
            behaviour.cut_times -= 1
            return behaviour.cut_after_bytes

    def _send_bytes(self, path: Path, begin: int, cut: int | None, bytes_per_second: int) -> None:
        sent = 0
        with path.open("rb") as handle:
            handle.seek(begin)
            while block := handle.read(_BLOCK if cut is None else min(_BLOCK, cut - sent)):
                self.wfile.write(block)
                sent += len(block)
                if bytes_per_second:
                    time.sleep(len(block) / bytes_per_second)
        if cut is not None:
            self.close_connection = True

    def _refuse(self, status: int, reason: str) -> None:
        headers = {"x-error-code": reason} if reason else {}
        self._send(status, json.dumps({"error": reason or "refused"}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _git_hash(path: Path) -> str:
    content = path.read_bytes() if path.stat().st_size < _BIG_ENOUGH else b""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


_BIG_ENOUGH = 20_000_000


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the game."""


def make_server(hub: FakeHub, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server for ``hub`` that is bound but not yet running."""
    return _Server((host, port), type("Handler", (_Handler,), {"hub": hub}))


@contextmanager
def running_hub(root: Path, script: dict[str, Behaviour] | None = None) -> Iterator[FakeHub]:
    """Run a hub on a free local port while the block runs."""
    hub = FakeHub(root=root, script=script or {})
    server = make_server(hub, "127.0.0.1", 0)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--script", type=Path)
    arguments = parser.parse_args()
    content = json.loads(arguments.script.read_text()) if arguments.script else {}
    hub = FakeHub(root=arguments.root, script={name: read_behaviour(value) for name, value in content.items()})
    server = make_server(hub, arguments.host, arguments.port)
    print(f"Hub listening on port {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
