"""Owns a Secrets Manager on loopback that answers every call after a fixed time, and counts."""

import collections
import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator

# Seconds that each call takes.
CALL = 0.05


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GetSecretValue of whatever name, in JSON 1.1."""

    protocol_version = "HTTP/1.1"
    # An answer is two writes; the second must not wait for the first one's acknowledgement.
    disable_nagle_algorithm = True
    server: "Server"

    def do_POST(self) -> None:
        name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["SecretId"]
        self.server.calls[name, self.headers["X-Amz-Target"].rpartition(".")[2]] += 1
        time.sleep(CALL)
        secret = {
            "ARN": f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf",
            "Name": name,
            "VersionId": f"00000000-0000-4000-8000-{self.server.version:012}",
            "SecretString": f"version {self.server.version} of {name}",
            "VersionStages": ["AWSCURRENT"],
        }
        content = json.dumps(secret).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """The service; `calls` counts by secret and action, `version` is that of every secret."""

    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: collections.Counter[tuple[str, str]] = collections.Counter()
        self.version = 0


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Serves for as long as the context lasts."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
