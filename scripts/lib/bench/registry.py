"""Owns the contenders in a registry, without an engine."""

import secrets
import shutil
from collections.abc import Callable

from bench import bases, tars
from bench.api import Api
from bench.deployment import Deployment
from bench.engine import BAKE
from bench.measure import Comparison, Contender, Sample, process, rounds

CRANE = "crane append"
REGCTL = "regctl image mod"
PLACE = "registry, same repository"
LAYER = "layer.tar"
# What takes so little time is measured so much more often, or chance decides.
TIMES_AS_OFTEN = 5


def compare(host: str, name: str, deployment: Deployment, count: int) -> Comparison:
    """Measures the contenders on one base; each writes a tag beside the base's own, a new one in each round, as a pipeline does."""
    base = f"{host}/{bases.reference(name)}"
    contenders = [baked(base, deployment), *rivals(base, deployment)]
    return Comparison(PLACE, name, rounds(contenders, TIMES_AS_OFTEN * count))


def new_tag(way: str) -> str:
    """Returns a tag that no image has."""
    return f"{way}-{secrets.token_hex(8)}"


def same_tag(way: str) -> str:
    """Returns the same tag each time."""
    return way


def rivals(base: str, deployment: Deployment, tag: Callable[[str], str] = new_tag) -> list[Contender]:
    """What else adds a layer to an image in a registry, as far as it is installed."""
    ways = {"crane": by_crane, "regctl": by_regctl}
    return [way(base, deployment, tag) for program, way in ways.items() if shutil.which(program)]


def repository_of(base: str) -> str:
    """Returns the name of a base without its tag."""
    return base.rpartition(":")[0]


def baked(base: str, deployment: Deployment, tag: Callable[[str], str] = new_tag) -> Contender:
    """The bake itself, as a whole process."""

    def run() -> Sample:
        return deployment.bake(f"docker://{base}", f"docker://{repository_of(base)}:{tag('bake')}")

    return Contender(BAKE, run, lambda number: deployment.rotate(f"bake {number}"))


def by_crane(base: str, deployment: Deployment, tag: Callable[[str], str]) -> Contender:
    """crane's append of a layer that is a tar already."""
    command = ["crane", "append", "--base", base, "--new_layer", LAYER]
    return of_layer(CRANE, lambda: [*command, "--new_tag", f"{repository_of(base)}:{tag('crane')}"], deployment)


def by_regctl(base: str, deployment: Deployment, tag: Callable[[str], str]) -> Contender:
    """The same by regctl, which must be told if the registry has no TLS."""
    name = base.partition("/")[0]
    host = ["--host", f"reg={name},tls=disabled"] if ":" in name else []
    command = ["regctl", "image", "mod", base, *host, "--layer-add", f"tar={LAYER}"]
    return of_layer(REGCTL, lambda: [*command, "--create", f"{repository_of(base)}:{tag('regctl')}"], deployment)


def of_layer(name: str, command: Callable[[], list[str]], deployment: Deployment) -> Contender:
    """A program that is given the layer as a tar, which is made before the time is taken."""

    def prepare(number: int) -> None:
        deployment.rotate(f"{name} {number}")
        content = (deployment.directory / "context/env").read_bytes()
        (deployment.directory / LAYER).write_bytes(tars.of_one(".env", content))

    def run() -> Sample:
        return process(command(), deployment.environment(), deployment.directory)

    return Contender(name, run, prepare)


def bring(host: str, base: bases.Base) -> None:
    """Gives the registry the base, unless it has it."""
    api = Api(f"http://{host}")
    repository, tag = bases.reference(base.name).split(":")
    if not api.has(f"/v2/{repository}/manifests/{tag}"):
        bases.push(api, base)
