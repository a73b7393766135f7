"""Owns the making of tars as streams, so that no archive has to fit into memory."""

import io
import pathlib
import tarfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

CHUNK = 1 << 20


class Member(NamedTuple):
    """A file of a tar: its content is bytes, or the file to read it from."""

    path: str
    content: bytes | pathlib.Path


def stream(members: Iterable[Member]) -> Iterator[bytes]:
    """Yields the tar that holds the members."""
    for path, content in members:
        header = tarfile.TarInfo(path)
        header.size = len(content) if isinstance(content, bytes) else content.stat().st_size
        yield header.tobuf(tarfile.GNU_FORMAT)
        if isinstance(content, bytes):
            yield content
        else:
            yield from chunks(content)
        yield bytes(-header.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def chunks(path: pathlib.Path) -> Iterator[bytes]:
    """Yields a file in parts."""
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            yield part


def of_one(path: str, content: bytes) -> bytes:
    """Returns the tar of one small file."""
    return b"".join(stream([Member(path, content)]))


def members(path: pathlib.Path) -> dict[str, bytes]:
    """Reads a small tar into memory: each file's content by its path."""
    with tarfile.open(path) as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive if entry.isfile()}
        return {name: (file or io.BytesIO()).read() for name, file in files.items()}
