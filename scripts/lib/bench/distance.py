"""Simulates distance: a registry with TLS, reached through a proxy that delays each message by half of a round trip."""

import asyncio
import contextlib
import pathlib
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

# The registry's name, which only the proxy resolves.
NAME = "registry.test"
HEAD_END = b"\r\n\r\n"

CONFIG = """\
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: {storage}}}}}
http: {{addr: "127.0.0.1:0", tls: {{certificate: {directory}/cert.pem, key: {directory}/key.pem}}}}
"""


class Proxy:
    """Connects to one server whatever it is asked for, on a thread of its own, as long as the context lasts."""

    def __init__(self, port: int, round_trip: float) -> None:
        self.behind = port
        self.round_trip = round_trip
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def start(self) -> int:
        """Returns the port that it listens at."""
        self.thread.start()
        listen = asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=256)
        port: int = asyncio.run_coroutine_threadsafe(listen, self.loop).result().sockets[0].getsockname()[1]
        return port

    def stop(self) -> None:
        """Ends every connection and the thread."""
        asyncio.run_coroutine_threadsafe(self.cancel(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def cancel(self) -> None:
        """Cancels what is served."""
        served = asyncio.all_tasks() - {asyncio.current_task()}
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Serves one connection, which is there after a round trip."""
        await client.readuntil(HEAD_END)
        await asyncio.sleep(self.round_trip)
        server, to_server = await asyncio.open_connection("127.0.0.1", self.behind)
        for writer in (to_client, to_server):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        to_client.write(b"HTTP/1.1 200 OK" + HEAD_END)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self.pass_on(client, to_server), self.pass_on(server, to_client))

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes on all that comes, and the end."""
        delay = self.round_trip / 2
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.loop.call_later(delay, writer.write, data)
        self.loop.call_later(delay, writer.close)


@contextlib.contextmanager
def registry(storage: pathlib.Path, directory: pathlib.Path, round_trip: float) -> Iterator[dict[str, str]]:
    """Serves a registry's storage so many seconds away; yields the variables by which programs get there."""
    directory.mkdir()
    made = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
    made += ["-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=critical,CA:FALSE"]
    made += ["-subj", f"/CN={NAME}", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", "req", *made], cwd=directory, stderr=subprocess.DEVNULL, check=True)
    config, log = directory / "registry.yml", directory / "registry.log"
    config.write_text(CONFIG.format(storage=storage, directory=directory))
    with log.open("w") as output:
        server = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=output, stderr=output)
    try:
        proxy = Proxy(listening(server, log), round_trip)
        port = proxy.start()
        try:
            yield {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "SSL_CERT_FILE": str(directory / "cert.pem")}
        finally:
            proxy.stop()
    finally:
        server.terminate()
        server.wait()


def listening(server: subprocess.Popen[bytes], log: pathlib.Path) -> int:
    """Waits for the port that the kernel chose."""
    while server.poll() is None:
        if found := re.search(r"127\.0\.0\.1:([1-9][0-9]*)", log.read_text()):
            return int(found[1])
        time.sleep(0.01)
    raise RuntimeError(f"the registry ended: {log.read_text()}")
