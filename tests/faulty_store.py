"""A proxy in front of an S3 store that fails as stores and networks fail, for the requests that a test names.

Host and path go through as they came, so what the client has signed stays valid.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BUSY, BROKEN, CLOSED, LATE, LOST = "503", "500", "closed", "late", "lost"
#: What can happen to a request: the store says that it is busy or broken; the connection ends before the request is read,
#: or after it was done; the request is done so late that nobody waits for the answer any more.
KINDS = (BUSY, BROKEN, CLOSED, LATE, LOST)
_CODES = {BUSY: "SlowDown", BROKEN: "InternalError"}
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
class Faulty:
    """The proxy: its endpoint, the rules, and all requests so far as `METHOD /path?query`."""

    endpoint: str
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

    def disturb(self, kind: str, pattern: str, *, nth: int = 1, times: float = 1) -> None:
        self.rules[:] = [Rule(kind, pattern, nth, times)]
        self.fired = 0

    def calm(self) -> None:
        self.rules.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faulty: Faulty

    def handle_expect_100(self) -> bool:
        return super().handle_expect_100()

    def log_message(self, *_) -> None:
        pass

    def _serve(self) -> None:
        kind = self.faulty.judge(f"{self.command} {self.path}")
        if kind == CLOSED:
            self._hang_up()
            return
        body = self._body()
        if kind in _CODES:
            self._refuse(int(kind), _CODES[kind])
            return
        if kind == LATE:
            time.sleep(self.faulty.delay)
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
        upstream = http.client.HTTPConnection(self.faulty.upstream, timeout=30)
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
    """A proxy before a store; `delay` is longer than clients wait."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    handler.faulty = Faulty(f"http://127.0.0.1:{server.server_port}", urlsplit(endpoint).netloc, delay)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield handler.faulty
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
