"""The table of contents: makes the bases, measures, checks, reports.

    python3 -m bench SECRETBAKE DATA DOCS ROUNDS

SECRETBAKE is the release binary, DATA the directory of the test environment's data, DOCS where the results go. The test
environment tells by its variables where the engines are. Exit status 1 when a target is missed.
"""

import contextlib
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

from bench import aws, bases, engine, fleet, quick, registry, report
from bench.deployment import Deployment
from bench.measure import Comparison

RIVALS = ["docker", "podman", "buildah", "crane"]
ENGINES = ["SECRETBAKE_TEST_DOCKER_HOST", "SECRETBAKE_TEST_CONTAINERD_HOST", "SECRETBAKE_TEST_PODMAN_HOST"]


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def compare_all(
    engines: list[engine.Engine], registry_host: str | None, deployment: Deployment, work: pathlib.Path, count: int
) -> Iterator[Comparison]:
    """Measures base by base, so that the files of only one lie about."""
    for name, (title, _) in bases.ALL.items():
        say(f"making the base: {title}")
        base = bases.make(name, work)
        with contextlib.ExitStack() as removals:
            for one in engines:
                removals.callback(engine.remove, one, bases.reference(name))
                engine.bring(one, base)
            if registry_host:
                registry.bring(registry_host, base)
            bases.remove(base)
            for one in engines:
                say(f"{one.name}, {title}")
                yield engine.compare(one, name, deployment, count)
            if registry_host:
                say(f"{registry.PLACE}, {title}")
                yield registry.compare(registry_host, name, deployment, count)


def main() -> int:
    secretbake, data, docs = map(pathlib.Path, sys.argv[1:4])
    count, work = int(sys.argv[4]), data / "bench"
    load, *_ = os.getloadavg()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    deployment = Deployment(secretbake, work / "deployment")
    deployment.write()
    engines = [engine.describe(os.environ[name], data / "podman/root") for name in ENGINES if name in os.environ]
    registry_host = os.environ.get("SECRETBAKE_TEST_REGISTRY")
    for rival in RIVALS:
        if not shutil.which(rival):
            say(f"NOT measured, since it is not installed: {rival}")
    comparisons = list(compare_all(engines, registry_host, deployment, work, count))
    at_once = None
    if registry_host:
        say(aws.PLACE)
        comparisons += aws.compare(registry_host, "small", secretbake, work, count)
        say("nothing to do, and --version")
        at_once = quick.measure(registry_host, "small", deployment)
    say("dry run")
    dry_run = fleet.dry_run(secretbake, work / "dry-run")
    say(f"{fleet.MANIFESTS} deployments")
    many = fleet.measure(secretbake, work / "fleet", registry_host, count) if registry_host else None
    results = report.Results(comparisons, many, dry_run, at_once, count, load)
    report.write(results, docs)
    shutil.rmtree(work)
    return 0 if all(target.holds for target in results.targets()) else 1


sys.exit(main())
