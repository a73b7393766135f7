"""Owns the contenders in a registry, without an engine."""

import shutil

from bench import bases, tars
from bench.api import Api
from bench.deployment import Deployment, environment
from bench.engine import BAKE
from bench.measure import Comparison, Contender, Sample, process, rounds

CRANE = "crane append"
REGCTL = "regctl image mod"
PLACE = "registry, same repository"
LAYER = "layer.tar"
# What takes so little time is measured so much more often, or chance decides.
TIMES_AS_OFTEN = 5


def compare(host: str, name: str, deployment: Deployment, count: int) -> Comparison:
    """Measures the contenders on one base; each writes a tag beside the base's own."""
    base = f"{host}/{bases.reference(name)}"
    repository = base.rpartition(":")[0]
    contenders = [baked(base, repository, deployment), *rivals(base, repository, deployment)]
    return Comparison(PLACE, name, rounds(contenders, TIMES_AS_OFTEN * count))


def rivals(base: str, repository: str, deployment: Deployment) -> list[Contender]:
    """What else adds a layer to an image in a registry, as far as it is installed."""
    ways = {"crane": by_crane, "regctl": by_regctl}
    return [way(base, repository, deployment) for program, way in ways.items() if shutil.which(program)]


def baked(base: str, repository: str, deployment: Deployment) -> Contender:
    """The bake itself, as a whole process."""

    def run() -> Sample:
        return deployment.bake(f"docker://{base}", f"docker://{repository}:bake")

    return Contender(BAKE, run, lambda number: deployment.rotate(f"bake {number}"))


def by_crane(base: str, repository: str, deployment: Deployment) -> Contender:
    """crane's append of a layer that is a tar already."""
    options = ["--base", base, "--new_layer", LAYER, "--new_tag", f"{repository}:crane"]
    return of_layer(CRANE, ["crane", "append", *options], deployment)


def by_regctl(base: str, repository: str, deployment: Deployment) -> Contender:
    """The same by regctl, which must be told that the registry has no TLS."""
    options = ["--host", f"reg={base.partition('/')[0]},tls=disabled"]
    options += ["--create", f"{repository}:regctl", "--layer-add", f"tar={LAYER}"]
    return of_layer(REGCTL, ["regctl", "image", "mod", base, *options], deployment)


def of_layer(name: str, command: list[str], deployment: Deployment) -> Contender:
    """A program that is given the layer as a tar, which is made before the time is taken."""

    def prepare(number: int) -> None:
        deployment.rotate(f"{name} {number}")
        content = (deployment.directory / "context/env").read_bytes()
        (deployment.directory / LAYER).write_bytes(tars.of_one(".env", content))

    def run() -> Sample:
        return process(command, environment(deployment.directory), deployment.directory)

    return Contender(name, run, prepare)


def bring(host: str, base: bases.Base) -> None:
    """Gives the registry the base, unless it has it."""
    api = Api(f"http://{host}")
    repository, tag = bases.reference(base.name).split(":")
    if not api.has(f"/v2/{repository}/manifests/{tag}"):
        bases.push(api, base)
