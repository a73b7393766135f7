"""Owns what must be reached, and says of each measurement whether it is."""

import dataclasses
from collections.abc import Iterator

from bench import aws, registry
from bench.engine import BAKE, BUILD, COMMIT, FLOOR
from bench.fleet import SECRETS, Fleet
from bench.measure import Comparison, Measured
from bench.quick import Quick
from bench.slow_service import REQUEST

MIB = 1 << 20
# What is large; on a small base everything is quick. A base of a few large files is measured, and has no target of its own.
HEAVY = ["large", "many"]
NOT_MEASURED = float("inf")


@dataclasses.dataclass(frozen=True)
class Target:
    """A number that must not exceed its limit."""

    what: str
    is_now: float
    limit: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Tells whether it is reached."""
        return self.is_now <= self.limit

    @property
    def is_measured(self) -> bool:
        """Tells whether both sides could be measured; what could not is not reached."""
        return self.is_now != NOT_MEASURED


def of_comparison(comparison: Comparison, title: str) -> Iterator[Target]:
    """Returns the targets of one place and base."""
    bake = comparison.way(BAKE)
    assert bake
    where = f"{comparison.place}, {title}"

    def against(other: str, limit: float) -> Iterator[Target]:
        way = comparison.way(other)
        yield Target(f"{where}: bake ÷ {other}", bake.wall / way.wall if way else NOT_MEASURED, limit)

    if comparison.base in HEAVY and "containerd store" in comparison.place:
        yield from against(BUILD, 0.1)
    if comparison.base in HEAVY and "overlay2" in comparison.place:
        yield from against(BUILD, 0.7)
    if "Podman" in comparison.place:
        yield from against(COMMIT, 0.5)
    if comparison.place == registry.PLACE:
        yield from against(registry.CRANE, 0.8)
    elif comparison.place in aws.PLACES:
        yield from against(registry.CRANE, 0.5)
    else:
        yield from against(FLOOR, 1.5)
    yield Target(f"{where}: peak memory", (bake.peak or 0) / MIB, 32, "MiB")


def of_fleet(fleet: Fleet) -> Iterator[Target]:
    """Returns the targets of many deployments in one run."""
    yield Target("100 deployments: wall time ÷ one call's time", fleet.measured.wall / REQUEST, 60)
    yield Target("100 deployments: peak memory", (fleet.measured.peak or 0) / MIB, 64, "MiB")
    yield Target("100 deployments: reads of one secret", fleet.most_reads, 1)
    yield Target("100 deployments: secrets never read", SECRETS - fleet.secrets_read, 0)


def of_quick(at_once: Quick) -> Iterator[Target]:
    """Returns the targets of what should be over at once."""
    yield Target("registry, nothing to do: wall time", at_once.unchanged.wall * 1000, 10, "ms")
    yield Target("--version: wall time", at_once.version.wall * 1000, 3, "ms")


def of_dry_run(dry_run: Measured) -> Iterator[Target]:
    """Returns the target of a dry run."""
    yield Target("dry run of 500 variables: CPU time", (dry_run.cpu or 0) * 1000, 10, "ms")
