"""names.py READY: brings loopback up in a network namespace of its own, serves names on it, and writes the file READY.

127.0.0.1 knows the names below `without.test`, 127.0.0.2 those below `with.test`; all of them are 127.0.0.1.
"""

import fcntl
import pathlib
import selectors
import socket
import struct
import sys

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
DOMAINS = {"127.0.0.1": ["without", "test"], "127.0.0.2": ["with", "test"]}
A, NXDOMAIN = 1, 3


def answer(query, domain):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    question = query[12 : at + 5]
    kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
    known = labels[-2:] == domain
    records = b""
    if known and kind == A:
        records = struct.pack(">HHHIH4s", 0xC00C, A, 1, 60, 4, socket.inet_aton("127.0.0.1"))
    flags = 0x8180 | (0 if known else NXDOMAIN)
    return query[:2] + struct.pack(">HHHHH", flags, 1, bool(records), 0, 0) + question + records


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
selector = selectors.DefaultSelector()
for address, domain in DOMAINS.items():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    selector.register(server, selectors.EVENT_READ, domain)
pathlib.Path(sys.argv[1]).touch()
while True:
    for key, _ in selector.select():
        query, peer = key.fileobj.recvfrom(512)
        key.fileobj.sendto(answer(query, key.data), peer)
