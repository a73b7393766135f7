"""Owns the contenders on one engine: everything that puts a small file onto a base there."""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Iterator

from bench import bases, relay, tars
from bench.api import Api
from bench.deployment import Deployment, environment
from bench.measure import Comparison, Contender, Sample, process, rounds, timed

BAKE = "secretbake bake"
FLOOR = "its requests, sent raw"
BUILD = "docker build"
COMMIT = "create, cp, commit"
RAW_COMMIT = "the same, sent raw"
BUILDAH = "buildah"


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine under test. `storage` is where Podman keeps its images, which buildah is to use too."""

    host: str
    name: str
    storage: pathlib.Path | None


def describe(host: str, podman_storage: pathlib.Path) -> Engine:
    """Asks an engine what it is."""
    api = Api(host)
    version, info = api.get_json("/version"), api.get_json("/info")
    if any(component["Name"] == "Podman Engine" for component in version.get("Components", [])):
        return Engine(host, f"Podman {version['Version']}", podman_storage)
    containerd = ["driver-type", "io.containerd.snapshotter.v1"] in (info.get("DriverStatus") or [])
    store = "containerd store" if containerd else info["Driver"]
    return Engine(host, f"Docker {version['Version'].split('+')[0]}, {store}", None)


def contenders(engine: Engine, base: str, deployment: Deployment) -> Iterator[Contender]:
    """Returns the ways there are on this engine and machine. Each round's image is removed again, untimed."""
    yield baked(engine, base, deployment)
    yield floor(engine, base, deployment)
    if shutil.which("docker"):
        yield built(engine, base, deployment)
    if shutil.which("podman" if engine.storage else "docker"):
        yield committed(engine, base, deployment)
    yield committed_raw(engine, base, deployment)
    if engine.storage and os.access(engine.storage, os.W_OK) and shutil.which("buildah"):
        yield by_buildah(engine, base, deployment)


def tag_of(way: str) -> str:
    """Returns the tag that a way writes."""
    return f"secretbake-bench/result:{way}"


def remove(engine: Engine, tag: str) -> None:
    """Removes an image that may be there."""
    Api(engine.host).delete(f"/images/{tag}?force=1")


def baked(engine: Engine, base: str, deployment: Deployment) -> Contender:
    """The bake itself, as a whole process. The launcher's layer stays from deploy to deploy."""
    tag = tag_of("bake")

    def run() -> Sample:
        return deployment.bake(base, tag, DOCKER_HOST=engine.host)

    return Contender(BAKE, run, lambda number: deployment.rotate(f"bake {number}"), lambda: remove(engine, tag))


def floor(engine: Engine, base: str, deployment: Deployment) -> Contender:
    """The very requests of a bake, on one connection: recorded with the round's values, undone, and sent again."""
    tag, requests = tag_of("floor"), []

    def prepare(number: int) -> None:
        deployment.rotate(f"floor {number}")
        socket = deployment.directory / "relay.sock"
        with relay.relay(socket, engine.host) as recorded:
            deployment.bake(base, tag, DOCKER_HOST=f"unix://{socket}")
        remove(engine, tag)
        requests[:] = recorded

    def run() -> Sample:
        return timed(lambda: relay.send(Api(engine.host), requests))

    return Contender(FLOOR, run, prepare, lambda: remove(engine, tag))


def built(engine: Engine, base: str, deployment: Deployment) -> Contender:
    """The classic `docker build` of FROM and COPY."""
    tag = tag_of("build")
    env = environment(deployment.directory, DOCKER_HOST=engine.host, DOCKER_BUILDKIT="0")

    def prepare(number: int) -> None:
        deployment.rotate(f"build {number}")
        (deployment.directory / "context/Dockerfile").write_text(f"FROM {base}\nCOPY env /.env\n")

    def run() -> Sample:
        return process(["docker", "build", "--tag", tag, "context"], env, deployment.directory)

    return Contender(BUILD, run, prepare, lambda: remove(engine, tag))


def committed(engine: Engine, base: str, deployment: Deployment) -> Contender:
    """create, cp, commit and rm of the engine's own client: four commands."""
    tag = tag_of("commit")
    script = """
        set -e
        container=$($CLIENT create "$BASE" /none)
        $CLIENT cp context/env "$container:/.env"
        $CLIENT commit "$container" "$TAG"
        $CLIENT rm "$container"
    """
    client = f"podman --url {engine.host}" if engine.storage else f"docker --host {engine.host}"
    env = environment(deployment.directory, CLIENT=client, BASE=base, TAG=tag)

    def run() -> Sample:
        return process(["sh", "-c", script], env, deployment.directory)

    return Contender(COMMIT, run, lambda number: deployment.rotate(f"commit {number}"), lambda: remove(engine, tag))


def committed_raw(engine: Engine, base: str, deployment: Deployment) -> Contender:
    """The four requests of these commands, on one connection and without a command's start."""
    tag = tag_of("raw-commit")
    repository, name = tag.split(":")

    def work() -> None:
        api = Api(engine.host)
        container = api.post_json("/containers/create", {"Image": base, "Cmd": ["/none"]})["Id"]
        archive = tars.of_one(".env", (deployment.directory / "context/env").read_bytes())
        api.call("PUT", f"/containers/{container}/archive?path=/", archive, {"Content-Type": "application/x-tar"})
        api.post_json(f"/commit?container={container}&repo={repository}&tag={name}", {})
        api.call("DELETE", f"/containers/{container}")

    def prepare(number: int) -> None:
        deployment.rotate(f"raw commit {number}")

    return Contender(RAW_COMMIT, lambda: timed(work), prepare, lambda: remove(engine, tag))


def by_buildah(engine: Engine, base: str, deployment: Deployment) -> Contender:
    """buildah's from, copy, commit and rm, on the storage of Podman."""
    tag = tag_of("buildah")
    script = """
        set -e
        buildah="buildah --root $STORAGE --runroot $PWD/buildah"
        container=$($buildah from --pull-never "localhost/$BASE")
        $buildah copy --quiet "$container" context/env /.env
        $buildah commit --quiet "$container" "localhost/$TAG"
        $buildah rm "$container"
    """
    env = environment(deployment.directory, STORAGE=str(engine.storage), BASE=base, TAG=tag)

    def run() -> Sample:
        return process(["sh", "-c", script], env, deployment.directory)

    return Contender(BUILDAH, run, lambda number: deployment.rotate(f"buildah {number}"), lambda: remove(engine, tag))


def compare(engine: Engine, name: str, deployment: Deployment, count: int) -> Comparison:
    """Measures the contenders on one base."""
    base, standing = bases.reference(name), tag_of("standing")
    # An earlier deploy, as there is in practice: what every bake on this base shares is there already.
    deployment.rotate("standing")
    deployment.bake(base, standing, DOCKER_HOST=engine.host)
    try:
        return Comparison(engine.name, name, rounds(list(contenders(engine, base, deployment)), count))
    finally:
        remove(engine, standing)


def bring(engine: Engine, base: bases.Base) -> None:
    """Gives the engine the base, unless it has it."""
    api = Api(engine.host)
    if not api.has(f"/images/{bases.reference(base.name)}/json"):
        bases.load(api, base)
