"""Owns the contenders whose secrets are in Secrets Manager: on loopback, where it answers at once, and as if it were elsewhere."""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Iterator

from bench import bases, distance, registry, secrets_manager
from bench.deployment import SECRETS, Deployment
from bench.fleet import AWS_ORG
from bench.measure import Comparison, Contender, Measured, Sample, process, rounds

PLACE = "registry, from Secrets Manager"
BATCH_PLACE = "the same, with batch: auto"
SAME_TAG_PLACE = "the same, to a tag that exists"
# The seconds of a round trip to a registry and a Secrets Manager that are not on this machine.
ROUND_TRIP = 0.01
AWAY_PLACE = f"both {ROUND_TRIP * 1000:.0f} ms away, by TLS"
AWAY_SAME_TAG_PLACE = f"{AWAY_PLACE}, to a tag that exists"
PLACES = (PLACE, BATCH_PLACE, SAME_TAG_PLACE, AWAY_PLACE, AWAY_SAME_TAG_PLACE)
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
    env = deployment.environment(**keys)
    command = ["fnox", "export", "--format", "json"]

    def run() -> Sample:
        return process(command, env, deployment.directory)

    return Contender(FNOX, run, lambda number: deployment.rotate(f"{number}"))


def compare(
    host: str, storage: pathlib.Path, name: str, secretbake: pathlib.Path, work: pathlib.Path, count: int
) -> Iterator[Comparison]:
    """Measures a bake that reads each secret by itself, one that reads them in a batch, and one that rotates the secrets of a tag; the
    others are the same for the first two. Then a bake and a rotation again, with both services elsewhere. `storage` is that of the registry.
    """
    base = f"{host}/{bases.reference(name)}"
    with secrets_manager.Server(0) as service:
        single, batch, again = (
            deployed(secretbake, work / f"aws-{number}", way, service)
            for number, way in enumerate(["never", "auto", "never"])
        )
        places = {
            PLACE: [registry.baked(base, single)],
            BATCH_PLACE: [registry.baked(base, batch)],
            "others": [*registry.rivals(base, single), *([by_fnox(single)] if shutil.which("fnox") else [])],
            SAME_TAG_PLACE: ways(base, again, registry.same_tag),
        }
        taken = all_measured(places, count)
    for place in (PLACE, BATCH_PLACE):
        yield Comparison(place, name, taken[place] + taken["others"])
    yield Comparison(SAME_TAG_PLACE, name, taken[SAME_TAG_PLACE])
    with (
        distance.registry(storage, work / "distance", ROUND_TRIP) as variables,
        # one for the connection, one for TLS, and one for the request
        secrets_manager.Server(3 * ROUND_TRIP) as service,
    ):
        base = f"{distance.NAME}/{bases.reference(name)}"
        new, again = (
            deployed(secretbake, work / f"away-{number}", "never", service, variables) for number in range(2)
        )
        places = {
            AWAY_PLACE: ways(base, new, registry.new_tag),
            AWAY_SAME_TAG_PLACE: ways(base, again, registry.same_tag),
        }
        taken = all_measured(places, count)
    for place, measured in taken.items():
        yield Comparison(place, name, measured)


def deployed(
    secretbake: pathlib.Path,
    directory: pathlib.Path,
    batch: str,
    service: secrets_manager.Server,
    variables: dict[str, str] | None = None,
) -> AwsDeployment:
    """Returns a deployment that is written."""
    deployment = AwsDeployment(secretbake, directory, batch, service, variables=variables or {})
    deployment.write()
    return deployment


def ways(base: str, deployment: AwsDeployment, tag: Callable[[str], str]) -> list[Contender]:
    """The bake and what else adds a layer."""
    return [registry.baked(base, deployment, tag), *registry.rivals(base, deployment, tag)]


def all_measured(places: dict[str, list[Contender]], count: int) -> dict[str, list[Measured]]:
    """Measures the contenders of all places in turns."""
    measured = iter(rounds([one for there in places.values() for one in there], registry.TIMES_AS_OFTEN * count))
    return {place: [next(measured) for _ in there] for place, there in places.items()}
