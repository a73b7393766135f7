"""relay.py READY [SOCKET]: listens on a TCP port of this machine, writes its number to the file READY, and relays each connection to
a Unix socket; without one, takes connections and never answers."""

import pathlib
import socket
import sys
import threading


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        target.close()


def main():
    ready = pathlib.Path(sys.argv[1])
    server = socket.create_server(("127.0.0.1", 0))
    partial = ready.with_suffix(".partial")
    partial.write_text(str(server.getsockname()[1]))
    partial.rename(ready)
    kept = []
    while True:
        near, _ = server.accept()
        if len(sys.argv) == 2:
            kept.append(near)
            continue
        far = socket.socket(socket.AF_UNIX)
        far.connect(sys.argv[2])
        for ends in [(near, far), (far, near)]:
            threading.Thread(target=copy, args=ends, daemon=True).start()


main()
