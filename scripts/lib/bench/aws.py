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
FNOX = "fnox export"
KEY = "not-a-real-key"

FNOX_PROVIDER = """\
[providers.sm]
type = "aws-sm"
region = "us-east-1"

[secrets]
"""


@dataclasses.dataclass(frozen=True)
class AwsDeployment(Deployment):
    """A deployment whose secrets are in Secrets Manager."""

    batch: str
    service: secrets_manager.Server

    def write(self) -> None:
        super().write()
        (self.directory / "org.yaml").write_text(f"{AWS_ORG}    batch: {self.batch}\n")

    def rotate(self, label: str) -> None:
        super().rotate(label)
        self.service.version += 1

    def bake(self, base: str, tag: str, **env: str) -> Sample:
        endpoint = f"http://127.0.0.1:{self.service.server_port}"
        return super().bake(base, tag, AWS_ENDPOINT_URL=endpoint, BENCH_SECRET_KEY=KEY, **env)


def compare(host: str, name: str, secretbake: pathlib.Path, work: pathlib.Path, count: int) -> Iterator[Comparison]:
    """Measures a bake that reads each secret by itself and one that reads them in a batch; the others are the same for both."""
    base = f"{host}/{bases.reference(name)}"
    repository = base.rpartition(":")[0]
    with secrets_manager.Server(0) as service:
        single, batch = (AwsDeployment(secretbake, work / f"aws-{way}", way, service) for way in ("never", "auto"))
        for deployment in (single, batch):
            deployment.write()
        contenders = [registry.baked(base, repository, deployment) for deployment in (single, batch)]
        contenders += registry.rivals(base, repository, single)
        if shutil.which("fnox"):
            contenders.append(by_fnox(single))
        baked, in_batch, *others = rounds(contenders, registry.TIMES_AS_OFTEN * count)
    yield Comparison(PLACE, name, [baked, *others])
    yield Comparison(BATCH_PLACE, name, [in_batch, *others])


def by_fnox(deployment: AwsDeployment) -> Contender:
    """fnox's reading of the same secrets, in a batch, and no image."""
    secrets = "".join(f'VALUE_{number} = {{ provider = "sm", value = "secret-{number}" }}\n' for number in range(SECRETS))
    (deployment.directory / "fnox.toml").write_text(FNOX_PROVIDER + secrets)
    endpoint = f"http://127.0.0.1:{deployment.service.server_port}"
    keys = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": KEY}
    env = environment(deployment.directory, **keys)

    def run() -> Sample:
        return process(["fnox", "export", "--format", "json"], env, deployment.directory)

    return Contender(FNOX, run, lambda number: deployment.rotate(f"fnox {number}"))
