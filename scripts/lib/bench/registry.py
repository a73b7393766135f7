"""Owns the contenders in a registry, without an engine."""

import pathlib
import shutil

from bench import bases, tars
from bench.api import Api
from bench.deployment import Deployment, environment
from bench.engine import BAKE
from bench.measure import Comparison, Contender, Sample, process, rounds

CRANE = "crane append"
PLACE = "registry, same repository"
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
    return [by_crane(base, repository, deployment)] if shutil.which("crane") else []


def baked(base: str, repository: str, deployment: Deployment) -> Contender:
    """The bake itself, as a whole process."""

    def run() -> Sample:
        return deployment.bake(f"docker://{base}", f"docker://{repository}:bake")

    return Contender(BAKE, run, lambda number: deployment.rotate(f"bake {number}"))


def by_crane(base: str, repository: str, deployment: Deployment) -> Contender:
    """crane's append of a layer that is a tar already."""
    layer = deployment.directory / "layer.tar"
    command = ["crane", "append", "--base", base, "--new_layer", str(layer), "--new_tag", f"{repository}:crane"]

    def prepare(number: int) -> None:
        deployment.rotate(f"crane {number}")
        layer.write_bytes(tars.of_one(".env", pathlib.Path(deployment.directory / "context/env").read_bytes()))

    def run() -> Sample:
        return process(command, environment(deployment.directory), deployment.directory)

    return Contender(CRANE, run, prepare)


def bring(host: str, base: bases.Base) -> None:
    """Gives the registry the base, unless it has it."""
    api = Api(f"http://{host}")
    repository, tag = bases.reference(base.name).split(":")
    if not api.has(f"/v2/{repository}/manifests/{tag}"):
        bases.push(api, base)
