"""Owns the measuring of what should be over at once: a bake with nothing to do, and the start of the program."""

import dataclasses

from bench import bases
from bench.deployment import Deployment, environment
from bench.measure import Contender, Measured, Sample, rounds, unwrapped

TIMES = 50


@dataclasses.dataclass(frozen=True)
class Quick:
    """What a bake in a registry took whose image is there already, and `--version`."""

    unchanged: Measured
    version: Measured


def measure(host: str, name: str, deployment: Deployment) -> Quick:
    """Measures both, in turns."""
    base = f"docker://{host}/{bases.reference(name)}"
    tag = f"{base.rpartition(':')[0]}:unchanged"
    env = environment(deployment.directory)
    bake = deployment.command(base, tag)

    def run(*command: str) -> Sample:
        return unwrapped(command, env, deployment.directory)

    deployment.rotate("unchanged")
    deployment.bake(base, tag)
    version = Contender("version", lambda: run(str(deployment.secretbake), "--version"))
    unchanged, started = rounds([Contender("unchanged", lambda: run(*bake)), version], TIMES)
    return Quick(unchanged, started)
