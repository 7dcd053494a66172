"""A proxy in front of an S3 store that fails as stores and networks fail, for the requests that a test names.

Host and path go through as they came, so what the client has signed stays valid.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

BUSY, BROKEN, CLOSED, LATE, LOST = "503", "500", "closed", "late", "lost"
#: What can happen to a request: the store says that it is busy or broken; the connection ends before the request is read,
#: or after it was done; the request is done so late that nobody waits for the answer any more.
KINDS = (BUSY, BROKEN, CLOSED, LATE, LOST)
_CODES = {BUSY: "SlowDown", BROKEN: "InternalError"}
_CONTROL = "/--/rules"
KEEP = {"keep": True}
_BETWEEN = frozenset({"connection", "transfer-encoding", "keep-alive"})


@dataclass
class Rule:
    """Which requests fail, and how: from the `nth` match of `pattern` on, `times` of them."""

    kind: str
    pattern: str
    nth: int = 1
    times: float = 1
    seen: int = 0

    def fires(self, line: str) -> bool:
        if not re.search(self.pattern, line):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


@dataclass
class _State:
    """What the proxy's process knows: the rules, and all requests so far as `METHOD /path?query`."""

    upstream: str
    delay: float
    rules: list[Rule] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    fired: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def judge(self, line: str) -> str | None:
        with self.lock:
            self.requests.append(line)
            found = next((rule.kind for rule in self.rules if rule.fires(line)), None)
            self.fired += found is not None
            return found

    def told(self, wanted: list[dict]) -> dict:
        """Take new rules; what happened under the ones before."""
        with self.lock:
            answer = {"fired": self.fired, "requests": self.requests}
            if wanted != [KEEP]:
                self.rules, self.requests, self.fired = [Rule(**each) for each in wanted], [], 0
            return answer


@dataclass(frozen=True)
class Faulty:
    """The proxy: where it is, and what a test tells it."""

    endpoint: str

    def disturb(self, pattern: str, *kinds: str, nth: int = 1, times: float = 1) -> None:
        """Let requests fail from the `nth` that fits on: each kind `times` times, one kind after the other."""
        self.disturb_all([pattern], *kinds, nth=nth, times=times)

    def disturb_all(self, patterns: Iterable[str], *kinds: str, nth: int = 1, times: float = 1) -> None:
        """The same for several kinds of requests, each by itself."""
        told = {"nth": nth, "times": times}
        self._tell([{"kind": kind, "pattern": each, **told} for each in patterns for kind in kinds])

    def calm(self) -> int:
        """Let everything through again; how many requests have failed."""
        return int(self._tell([])["fired"])

    def requests(self) -> list[str]:
        """The requests since the rules were changed."""
        return self._tell([KEEP])["requests"]

    def _tell(self, rules: list[dict]) -> dict:
        wanted = urllib.request.Request(f"{self.endpoint}{_CONTROL}", data=json.dumps(rules).encode(), method="POST")
        with urllib.request.urlopen(wanted, timeout=30) as answer:
            return json.loads(answer.read())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client
    state: _State

    def log_message(self, *_) -> None:
        pass

    def _serve(self) -> None:
        if self.path == _CONTROL:
            told = json.dumps(self.state.told(json.loads(self._body()))).encode()
            self._answer(200, [("Content-Type", "application/json")], told)
            return
        kind = self.state.judge(f"{self.command} {self.path}")
        if kind == CLOSED:
            self._hang_up()
            return
        body = self._body()
        if kind in _CODES:
            self._refuse(int(kind), _CODES[kind])
            return
        if kind == LATE:
            time.sleep(self.state.delay)
        answer = self._forward(body)
        if kind in {LATE, LOST}:
            self._hang_up()
            return
        self._answer(*answer)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve  # noqa: N815 - names that http.server wants

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.state.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {*_BETWEEN, "expect", "content-length"}:
                    upstream.putheader(name, value)
            if body or self.command in {"PUT", "POST"}:
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _BETWEEN:
                self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
        self._answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], body)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_) -> None:
        """A client that does not wait any more is what a test wanted."""


@contextmanager
def faulty(endpoint: str, *, delay: float):
    """A proxy before a store; `delay` is longer than clients wait.

    In a process of its own: delta-rs asks while it holds Python's lock, so a thread of the test's could not answer.
    """
    command = [sys.executable, "-m", "tests.faulty_store", urlsplit(endpoint).netloc, str(delay)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Faulty(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


def main() -> None:
    _Handler.state = _State(sys.argv[1], float(sys.argv[2]))
    server = _Server(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)  # noqa: T201 - the parent reads it
    server.serve_forever()


if __name__ == "__main__":
    main()
