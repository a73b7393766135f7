"""Owns a Secrets Manager on loopback that answers every call after a fixed time, and counts."""

import collections
import contextlib
import json
from collections.abc import Iterator

from bench.slow_service import SlowHandler, SlowServer


class Handler(SlowHandler):
    """Answers GetSecretValue of whatever name, in JSON 1.1."""

    server: "Server"

    def do_POST(self) -> None:
        name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["SecretId"]
        self.server.calls[name, self.headers["X-Amz-Target"].rpartition(".")[2]] += 1
        secret = {
            "ARN": f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf",
            "Name": name,
            "VersionId": f"00000000-0000-4000-8000-{self.server.version:012}",
            "SecretString": f"version {self.server.version} of {name}",
            "VersionStages": ["AWSCURRENT"],
        }
        self.answer("application/x-amz-json-1.1", json.dumps(secret).encode())


class Server(SlowServer):
    """The service; `calls` counts by secret and action, `version` is that of every secret."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.calls: collections.Counter[tuple[str, str]] = collections.Counter()
        self.version = 0


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Serves for as long as the context lasts."""
    with Server() as server:
        server.start()
        try:
            yield server
        finally:
            server.shutdown()
