"""Owns the measuring of many deployments in one run, and of a dry run of a large one."""

import collections
import dataclasses
import pathlib

from bench import bases, secrets_manager
from bench.deployment import environment, manifest
from bench.measure import Contender, Measured, Sample, process, rounds, unwrapped

MANIFESTS = 100
REFERENCES = 20
SECRETS = 500
VARIABLES = 500
DRY_RUNS = 20

AWS_ORG = """\
version: 1
credentials:
  - name: aws
    provider: aws-secrets-manager
    region: us-east-1
    default: true
    access_key_id: AKIAEXAMPLEEXAMPLE00
    secret_access_key: { env: BENCH_SECRET_KEY }
"""


@dataclasses.dataclass(frozen=True)
class Fleet:
    """What many deployments in one run took, and how often the most often read secret was read in one run."""

    measured: Measured
    secrets_read: int
    most_reads: int


def measure(secretbake: pathlib.Path, directory: pathlib.Path, registry: str, count: int) -> Fleet:
    """Bakes every deployment into a repository of its own, on a base of another, in one process."""
    directory.mkdir()
    (directory / "org.yaml").write_text(AWS_ORG)
    files = [write_deployment(directory, number, registry) for number in range(MANIFESTS)]
    reads: list[collections.Counter[str]] = []

    with secrets_manager.Server() as service:

        def prepare(number: int) -> None:
            service.calls.clear()
            service.version = number

        def run() -> Sample:
            env = environment(
                directory,
                AWS_ENDPOINT_URL=f"http://127.0.0.1:{service.server_port}",
                BENCH_SECRET_KEY="not-a-real-key",
            )
            base = f"docker://{registry}/{bases.reference('small')}"
            return process([str(secretbake), "bake", *files, "--org", "org.yaml", "--base", base], env, directory)

        def clean() -> None:
            reads.append(collections.Counter(service.calls))

        [measured] = rounds([Contender("fleet", run, prepare, clean)], count)
    return Fleet(measured, min(map(len, reads)), max(max(calls.values()) for calls in reads))


def write_deployment(directory: pathlib.Path, number: int, registry: str) -> str:
    """Writes one manifest: neighbours share secrets, and all together use each."""
    first = number * SECRETS // MANIFESTS
    references = {f"VALUE_{place}": f"fleet/{(first + place) % SECRETS}" for place in range(REFERENCES)}
    image = {"tags": [f"docker://{registry}/secretbake-bench/fleet-{number}:1"]}
    path = directory / f"deploy-{number}.yaml"
    path.write_text(manifest(references, image))
    return path.name


def dry_run(secretbake: pathlib.Path, directory: pathlib.Path) -> Measured:
    """Plans one deployment of many variables."""
    directory.mkdir()
    (directory / "org.yaml").write_text(AWS_ORG)
    references = {f"VALUE_{number}": f"secret-{number}" for number in range(VARIABLES)}
    (directory / "deploy.yaml").write_text(manifest(references, {"base": "crew:1", "tags": ["crew:1-prod"]}))
    command = [str(secretbake), "bake", "deploy.yaml", "--org", "org.yaml", "--dry-run"]
    [measured] = rounds([Contender("dry run", lambda: unwrapped(command, environment(directory), directory))], DRY_RUNS)
    return measured
