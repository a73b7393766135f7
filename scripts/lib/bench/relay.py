"""Owns the recording of a bake's requests, by a relay between it and the server, and their sending without it."""

import contextlib
import dataclasses
import http.server
import pathlib
import socketserver
import threading
from collections.abc import Iterator

from bench.api import Api

# What the relay says itself, per connection.
OWN_HEADERS = {"host", "connection", "transfer-encoding", "content-length"}


@dataclasses.dataclass(frozen=True)
class Request:
    """A request as it was sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None


class Handler(http.server.BaseHTTPRequestHandler):
    """Passes requests on, one by one, and keeps them."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def setup(self) -> None:
        super().setup()
        self.upstream = Api(self.server.address_behind)

    def finish(self) -> None:
        self.upstream.connection.close()
        super().finish()

    def address_string(self) -> str:
        return "bake"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def pass_on(self) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in OWN_HEADERS}
        request = Request(self.command, self.path, headers, self.read_body())
        self.server.recorded.append(request)
        answer, content = self.upstream.ask(request.method, request.path, request.body, request.headers)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in OWN_HEADERS:
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = pass_on

    def read_body(self) -> bytes | None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return b"".join(self.read_chunks())
        size = self.headers.get("Content-Length")
        return None if size is None else self.rfile.read(int(size))

    def read_chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


class Server(socketserver.ThreadingUnixStreamServer):
    """Listens at a socket, in front of another server."""

    daemon_threads = True

    def __init__(self, listen: pathlib.Path, address_behind: str) -> None:
        super().__init__(str(listen), Handler)
        self.address_behind = address_behind
        self.recorded: list[Request] = []


@contextlib.contextmanager
def relay(listen: pathlib.Path, address_behind: str) -> Iterator[list[Request]]:
    """Relays for as long as the context lasts; the list fills with what was sent."""
    with Server(listen, address_behind) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server.recorded
        finally:
            server.shutdown()
            listen.unlink()


def send(server: Api, requests: list[Request]) -> None:
    """Sends the requests one after the other; each must succeed, or say that there is no such thing as in a bake."""
    for request in requests:
        server.call(request.method, request.path, request.body, request.headers, may_lack=True)
