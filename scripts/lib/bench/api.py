"""Owns raw HTTP to an engine's socket or a server on loopback: one connection, no library in between."""

import http.client
import json
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

Body = bytes | Iterable[bytes] | None


class RequestFailed(Exception):
    """A request that was not answered as the benchmark needs it."""


class UnixConnection(http.client.HTTPConnection):
    """A connection to the socket at `path`."""

    def __init__(self, path: str) -> None:
        super().__init__("engine")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def connection(address: str) -> http.client.HTTPConnection:
    """Returns a connection, not yet made, to `unix://PATH` or `http://HOST:PORT`."""
    url = urlsplit(address)
    return UnixConnection(url.path) if url.scheme == "unix" else http.client.HTTPConnection(url.netloc)


class Api:
    """Requests on one connection that is kept."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.connection = connection(address)

    def ask(
        self, method: str, path: str, body: Body = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Sends a request and reads the answer to its end, whatever its status."""
        chunked = body is not None and not isinstance(body, bytes)
        self.connection.request(method, path, body, headers or {}, encode_chunked=chunked)
        answer = self.connection.getresponse()
        return answer, answer.read()

    def call(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: dict[str, str] | None = None,
        may_lack: bool = False,
    ) -> bytes:
        """Sends a request that must succeed; with `may_lack`, what it asks for may not be there."""
        answer, content = self.ask(method, path, body, headers)
        refused = answer.status >= 400 and not (may_lack and answer.status == 404)
        # a load answers 200 even when it fails
        if refused or b"errorDetail" in content:
            raise RequestFailed(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def post_json(self, path: str, value: Any) -> Any:
        """Sends JSON and returns the JSON that is answered."""
        return json.loads(self.call("POST", path, json.dumps(value).encode(), {"Content-Type": "application/json"}))

    def get_json(self, path: str) -> Any:
        """Returns the JSON at a path."""
        return json.loads(self.call("GET", path))

    def has(self, path: str) -> bool:
        """Tells whether there is anything at a path."""
        return self.ask("GET", path)[0].status == 200

    def delete(self, path: str) -> None:
        """Deletes what may be gone already."""
        self.ask("DELETE", path)
