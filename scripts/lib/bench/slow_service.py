"""Owns a service on loopback that answers every request after the same time."""

import http.server
import threading
import time

# Seconds that each request takes.
REQUEST = 0.05


class SlowHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is two writes; the second must not wait for the first one's acknowledgement.
    disable_nagle_algorithm = True

    def answer(self, kind: str, content: bytes) -> None:
        time.sleep(REQUEST)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class SlowServer(http.server.ThreadingHTTPServer):
    request_queue_size = 256

    def __init__(self, handler: type[SlowHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    def start(self) -> None:
        """Serves until it is closed."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
