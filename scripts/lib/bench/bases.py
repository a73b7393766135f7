"""Owns the base images: what they hold, and how they get into an engine or a registry."""

import dataclasses
import hashlib
import json
import os
import pathlib
import platform
import shutil
from collections.abc import Callable, Iterator
from urllib.parse import quote

from bench import tars
from bench.api import Api

LARGE_LAYERS = 4
LARGE_LAYER_BYTES = 512 << 20
LARGE_FILE_BYTES = 64 << 10
MANY_FILES = 100_000
FILES_A_DIRECTORY = 1000
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclasses.dataclass(frozen=True)
class Layer:
    """An uncompressed layer: its file and its diff ID."""

    path: pathlib.Path
    digest: str


@dataclasses.dataclass(frozen=True)
class Base:
    """A base image as files, lowest layer first."""

    name: str
    config: bytes
    layers: list[Layer]


def reference(name: str) -> str:
    """Returns what a base is called in an engine or, behind the host, in a registry."""
    return f"secretbake-bench/{name}:1"


def small(work: pathlib.Path) -> Iterator[Iterator[bytes]]:
    """The test environment's busybox: its one layer."""
    files = tars.members(pathlib.Path(os.environ["SECRETBAKE_TEST_BASES"]) / "busybox.tar")
    yield iter([content for path, content in files.items() if path.endswith("layer.tar")])


def large(work: pathlib.Path) -> Iterator[Iterator[bytes]]:
    """2 GiB in 4 layers, of random files of a size that is usual in images."""
    for number in range(LARGE_LAYERS):
        files = range(LARGE_LAYER_BYTES // LARGE_FILE_BYTES)
        yield tars.stream(tars.Member(path(f"data{number}", file), os.urandom(LARGE_FILE_BYTES)) for file in files)


def blocks(work: pathlib.Path) -> Iterator[Iterator[bytes]]:
    """2 GiB in 4 layers, of one random file each."""
    for number in range(LARGE_LAYERS):
        file = work / "file"
        with file.open("wb") as out:
            for _ in range(LARGE_LAYER_BYTES // LARGE_FILE_BYTES):
                out.write(os.urandom(LARGE_FILE_BYTES))
        yield tars.stream([tars.Member(f"data{number}", file)])
        file.unlink()


def many(work: pathlib.Path) -> Iterator[Iterator[bytes]]:
    """100,000 small files in one layer."""
    names = (path("data", number) for number in range(MANY_FILES))
    yield tars.stream(tars.Member(name, name.encode()) for name in names)


def path(directory: str, number: int) -> str:
    """Returns where a file lies, so that no directory holds too many."""
    return f"{directory}/{number // FILES_A_DIRECTORY}/{number}"


# What the tables call each base, and what makes its layers.
ALL: dict[str, tuple[str, Callable[[pathlib.Path], Iterator[Iterator[bytes]]]]] = {
    "small": ("busybox", small),
    "large": ("2 GiB in 4 layers", large),
    "blocks": ("2 GiB in 4 files", blocks),
    "many": ("100,000 files", many),
}


def make(name: str, work: pathlib.Path) -> Base:
    """Writes the layers of a base into a directory of its own under `work`."""
    directory = work / name
    directory.mkdir(parents=True)
    layers = [write_layer(directory, content) for content in ALL[name][1](directory)]
    machine = platform.machine()
    config = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/busybox"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created_by": "secretbake-bench"} for _ in layers],
    }
    return Base(name, json.dumps(config).encode(), layers)


def write_layer(directory: pathlib.Path, content: Iterator[bytes]) -> Layer:
    """Writes a layer under its digest."""
    digest, making = hashlib.sha256(), directory / "making"
    with making.open("wb") as file:
        for part in content:
            digest.update(part)
            file.write(part)
    path = making.rename(directory / digest.hexdigest())
    return Layer(path, f"sha256:{digest.hexdigest()}")


def remove(base: Base) -> None:
    """Removes the files of a base."""
    shutil.rmtree(base.layers[0].path.parent)


def load(engine: Api, base: Base) -> None:
    """Gives an engine the whole base."""
    config = hashlib.sha256(base.config).hexdigest()
    paths = [f"{layer.path.name}/layer.tar" for layer in base.layers]
    manifest = [{"Config": f"{config}.json", "RepoTags": [reference(base.name)], "Layers": paths}]
    members = [tars.Member(f"{config}.json", base.config), tars.Member("manifest.json", json.dumps(manifest).encode())]
    members += [tars.Member(path, layer.path) for path, layer in zip(paths, base.layers, strict=True)]
    engine.call("POST", "/images/load", tars.stream(members), {"Content-Type": "application/x-tar"})


def push(registry: Api, base: Base) -> None:
    """Gives a registry the whole base."""
    repository, tag = reference(base.name).split(":")
    layers = [
        push_blob(registry, repository, layer.digest, tars.chunks(layer.path), layer.path.stat().st_size)
        | {"mediaType": "application/vnd.oci.image.layer.v1.tar"}
        for layer in base.layers
    ]
    digest = f"sha256:{hashlib.sha256(base.config).hexdigest()}"
    config = push_blob(registry, repository, digest, iter([base.config]), len(base.config))
    config["mediaType"] = "application/vnd.oci.image.config.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
    path = f"/v2/{repository}/manifests/{tag}"
    registry.call("PUT", path, json.dumps(manifest).encode(), {"Content-Type": MANIFEST_TYPE})


def push_blob(registry: Api, repository: str, digest: str, content: Iterator[bytes], size: int) -> dict[str, object]:
    """Uploads a blob and returns its descriptor, still without a media type."""
    begun, _ = registry.ask("POST", f"/v2/{repository}/blobs/uploads/", b"")
    location = begun.headers["Location"].removeprefix(registry.address)
    registry.call("PUT", f"{location}&digest={quote(digest)}", content, {"Content-Type": "application/octet-stream"})
    return {"digest": digest, "size": size}
