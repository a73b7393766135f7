"""Owns the contenders whose secrets are in Secrets Manager, which is on loopback here and answers at once."""

import dataclasses
import pathlib
import shutil
from collections.abc import Iterator

from bench import bases, registry, secrets_manager
from bench.deployment import SECRETS, Deployment, environment
from bench.fleet import AWS_ORG
from bench.measure import Comparison, Contender, Sample, process, rounds

PLACE = "registry, from Secrets Manager"
BATCH_PLACE = "the same, with batch: auto"
SAME_TAG_PLACE = "the same, to a tag that exists"
FNOX = "fnox export"
KEY_ID, KEY = "AKIAEXAMPLEEXAMPLE00", "not-a-real-key"


@dataclasses.dataclass(frozen=True)
class AwsDeployment(Deployment):
    """A deployment whose secrets are in Secrets Manager."""

    batch: str
    service: secrets_manager.Server

    def write(self) -> None:
        super().write()
        (self.directory / "org.yaml").write_text(f"{AWS_ORG}    batch: {self.batch}\n")

    def rotate(self, label: str) -> None:
        # not what another deployment has sent to the registry already
        super().rotate(f"aws {label}")
        self.service.version += 1

    def bake(self, base: str, tag: str, **env: str) -> Sample:
        return super().bake(base, tag, AWS_ENDPOINT_URL=self.endpoint(), BENCH_SECRET_KEY=KEY, **env)

    def endpoint(self) -> str:
        """Returns where the service is."""
        return f"http://127.0.0.1:{self.service.server_port}"


def by_fnox(deployment: AwsDeployment) -> Contender:
    """fnox reads the same secrets and prints them."""
    references = [f'VALUE_{number} = {{ provider = "aws", value = "secret-{number}" }}' for number in range(SECRETS)]
    provider = ["[providers.aws]", 'type = "aws-sm"', 'region = "us-east-1"', "[secrets]"]
    (deployment.directory / "fnox.toml").write_text("\n".join([*provider, *references, ""]))
    keys = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": KEY, "AWS_ENDPOINT_URL": deployment.endpoint()}
    env = environment(deployment.directory, **keys)
    command = ["fnox", "export", "--format", "json"]

    def run() -> Sample:
        return process(command, env, deployment.directory)

    return Contender(FNOX, run, lambda number: deployment.rotate(f"{number}"))


def compare(host: str, name: str, secretbake: pathlib.Path, work: pathlib.Path, count: int) -> Iterator[Comparison]:
    """Measures a bake that reads each secret by itself, one that reads them in a batch, and one that rotates the secrets of a tag; the
    others are the same for the first two."""
    base = f"{host}/{bases.reference(name)}"
    with secrets_manager.Server(0) as service:
        single, batch, again = (
            AwsDeployment(secretbake, work / f"aws-{number}", way, service)
            for number, way in enumerate(["never", "auto", "never"])
        )
        for deployment in (single, batch, again):
            deployment.write()
        places = {
            PLACE: [registry.baked(base, single)],
            BATCH_PLACE: [registry.baked(base, batch)],
            "others": [*registry.rivals(base, single), *([by_fnox(single)] if shutil.which("fnox") else [])],
            SAME_TAG_PLACE: [
                registry.baked(base, again, registry.same_tag),
                *registry.rivals(base, again, registry.same_tag),
            ],
        }
        measured = iter(rounds([one for ways in places.values() for one in ways], registry.TIMES_AS_OFTEN * count))
    taken = {place: [next(measured) for _ in ways] for place, ways in places.items()}
    for place in (PLACE, BATCH_PLACE):
        yield Comparison(place, name, taken[place] + taken["others"])
    yield Comparison(SAME_TAG_PLACE, name, taken[SAME_TAG_PLACE])
