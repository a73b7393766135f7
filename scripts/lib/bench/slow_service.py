"""Owns a service on loopback that answers every request after the same time.

One thread and no more work per request than its answer needs, because what the service takes is part of what is measured.
"""

import asyncio
import threading
from typing import Self

# Seconds that each request takes.
REQUEST = 0.05


class SlowServer:
    """Serves HTTP/1.1 on one thread for as long as the context lasts. A subclass says what is answered."""

    def __init__(self, seconds: float = REQUEST) -> None:
        self.seconds = seconds
        self.server_port = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def respond(self, path: str, target: str, body: bytes) -> tuple[str, bytes]:
        """Returns the media type and the content of an answer. `target` is the header X-Amz-Target, or empty."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.thread.start()
        listen = self.loop.create_server(lambda: Connection(self), "127.0.0.1", 0, backlog=256)
        server = asyncio.run_coroutine_threadsafe(listen, self.loop).result()
        self.server_port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Connection(asyncio.Protocol):
    """One connection of a client that waits for each answer."""

    def __init__(self, server: SlowServer) -> None:
        self.server = server
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        request, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if not end or len(body) < int(headers.get("content-length", 0)):
            return
        self.received = b""
        kind, content = self.server.respond(request.split()[1], headers.get("x-amz-target", ""), body)
        answer = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
        self.server.loop.call_later(self.server.seconds, self.transport.write, answer)
