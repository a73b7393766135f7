"""The table of contents: makes the bases, measures, checks, reports.

    python3 -m bench SECRETBAKE DATA ROUNDS [DOCS]

SECRETBAKE is the release binary, DATA the directory of the test environment's data, DOCS where the results go. Without DOCS only the tables are
printed, of the small base in the registry and without the run of many deployments. The test environment tells by its variables where the engines are.
Exit status 1 when a target is missed.
"""

import contextlib
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

from bench import aws, bases, engine, fleet, quick, registry, report, rivals
from bench.deployment import Deployment
from bench.measure import Comparison

SMALL = "small"
ENGINES = ["SECRETBAKE_TEST_DOCKER_HOST", "SECRETBAKE_TEST_CONTAINERD_HOST", "SECRETBAKE_TEST_PODMAN_HOST"]


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def compare_all(
    names: list[str],
    engines: list[engine.Engine],
    registry_host: str | None,
    deployment: Deployment,
    work: pathlib.Path,
    count: int,
) -> Iterator[Comparison]:
    """Measures base by base, so that the files of only one lie about."""
    for name in names:
        title, _ = bases.ALL[name]
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
    secretbake, data = map(pathlib.Path, sys.argv[1:3])
    count, work = int(sys.argv[3]), data / "bench"
    docs = next(map(pathlib.Path, sys.argv[4:]), None)
    load, *_ = os.getloadavg()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    deployment = Deployment(secretbake, work / "deployment")
    deployment.write()
    hosts = [os.environ[name] for name in ENGINES if docs and name in os.environ]
    engines = [engine.describe(host, data / "podman/root") for host in hosts]
    registry_host = os.environ.get("SECRETBAKE_TEST_REGISTRY")
    for rival in rivals.missing():
        say(f"NOT measured, since it is not installed: {rival}")
    names = list(bases.ALL) if docs else [SMALL]
    comparisons = list(compare_all(names, engines, registry_host, deployment, work, count))
    at_once = None
    if registry_host:
        say(aws.PLACE)
        comparisons += aws.compare(registry_host, data / "registry/registry", SMALL, secretbake, work, count)
        say("nothing to do, and --version")
        at_once = quick.measure(registry_host, SMALL, deployment)
    say("dry run")
    dry_run = fleet.dry_run(secretbake, work / "dry-run")
    many = None
    if registry_host and docs:
        say(f"{fleet.MANIFESTS} deployments")
        many = fleet.measure(secretbake, work / "fleet", registry_host, count)
    results = report.Results(comparisons, many, dry_run, at_once, count, load)
    report.show(results)
    if docs:
        report.write(results, docs)
    shutil.rmtree(work)
    return 0 if all(target.holds for target in results.targets()) else 1


sys.exit(main())
