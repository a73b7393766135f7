"""Owns the relay that makes a server on loopback as far away as one elsewhere: each message takes half of a round trip."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator


class Side(asyncio.Protocol):
    """One side of a connection, client or server. What it says reaches the other after a while, in its order."""

    def __init__(self, relay: "Relay", other: "Side | None" = None) -> None:
        self.relay = relay
        self.other = other
        self.transport: asyncio.Transport | None = None
        self.waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        for data in self.waiting:
            transport.write(data)
        if self.other is None:
            self.other = Side(self.relay, self)
            # a connection elsewhere is there after a round trip
            self.relay.loop.call_later(2 * self.relay.delay, self.relay.connect, self.other)

    def data_received(self, data: bytes) -> None:
        assert self.other
        self.relay.loop.call_later(self.relay.delay, self.other.take, data)

    def take(self, data: bytes) -> None:
        """Passes on what the other side said."""
        if self.transport:
            self.transport.write(data)
        else:
            self.waiting.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other and self.other.transport:
            self.relay.loop.call_later(self.relay.delay, self.other.transport.close)


class Relay:
    """Listens on loopback on a thread of its own."""

    def __init__(self, host: str, port: int, delay: float) -> None:
        self.behind = (host, port)
        self.delay = delay
        self.loop = asyncio.new_event_loop()

    def connect(self, side: Side) -> None:
        """Connects a side to the server."""
        self.loop.create_task(self.loop.create_connection(lambda: side, *self.behind))


@contextlib.contextmanager
def away(server: str, round_trip: float) -> Iterator[str]:
    """Puts a server, HOST:PORT, so many seconds away; yields where it is then."""
    host, _, port = server.rpartition(":")
    relay = Relay(host, int(port), round_trip / 2)
    thread = threading.Thread(target=relay.loop.run_forever, daemon=True)
    thread.start()
    listen = relay.loop.create_server(lambda: Side(relay), "127.0.0.1", 0, backlog=256)
    listening = asyncio.run_coroutine_threadsafe(listen, relay.loop).result()
    try:
        yield "127.0.0.1:{}".format(listening.sockets[0].getsockname()[1])
    finally:
        relay.loop.call_soon_threadsafe(relay.loop.stop)
        thread.join()
        relay.loop.close()
