"""Owns the output of the results: the tables, on standard output and as a page, and the plot."""

import dataclasses
import os
import pathlib
import platform
from collections.abc import Iterator

from bench import bases, deployment, plot, quick, rivals, targets
from bench.aws import FNOX
from bench.engine import BAKE, BUILD, BUILDAH, COMMIT, FLOOR, RAW_COMMIT
from bench.fleet import MANIFESTS, REFERENCES, SECRETS, VARIABLES, Fleet
from bench.measure import Comparison, Measured
from bench.registry import CRANE, REGCTL, TIMES_AS_OFTEN
from bench.slow_service import REQUEST

OTHERS = [BUILD, COMMIT, RAW_COMMIT, BUILDAH, CRANE, REGCTL, FNOX, FLOOR]

PAGE = """\
# Benchmarks

`scripts/bench` wrote this page on a machine of {machine}, with the release build and real engines.
The alternatives take turns. Each number is the median of {rounds} rounds ({often} in the registry). Compare the ratios, not the
milliseconds, which depend on the machine. {load}

![Time of each alternative, by engine and base](benchmarks.svg)

## Compared with the alternatives

The first column is the time of the bake, the others are the times of the alternatives. The number in brackets is the bake's time divided by
the alternative's: 0.10 means that the bake is ten times as fast.

{comparisons}

- **secretbake bake** is the whole process, from start to end, with {secrets} secrets that are new in every round. The
  launcher's layer and the cached descriptors of the base are there from an earlier deploy.
- **docker build** is the classic builder with FROM and COPY of one file with the same values; also a whole process.
- **create, cp, commit** is these commands and `rm`, of `docker` or `podman`: four processes. **the same, sent raw** is only
  their requests, on one connection, without starting a process.
- **buildah** is from, copy, commit and rm on Podman's storage; four processes.
- **crane append** is one process that appends a tar with one file, in the same repository, as the bake does. Both write a new tag in each
  round, as a pipeline does, except in the rows **to a tag that exists**, where the secrets of a deployment are rotated. **regctl image mod** is the
  same by another program.
- **fnox export** is one process that reads the same secrets from the same Secrets Manager, in one batch, and prints them. A bake does that too,
  and adds them to an image.
- **its requests, sent raw** is the lower limit: the requests of a bake, recorded, undone and sent again byte for byte, one after the
  other on one connection. Here the secrets come from a file, so resolving them costs almost nothing.

In the row **from Secrets Manager** and those below it all secrets come from there. It is on loopback and answers at once, so the time is what
the client and this machine need for {secrets} calls, or for one with `batch: auto`. In the rows **10 ms away**, both services are on this
machine too, but each message takes 5 ms: the registry has TLS and is behind a proxy that delays, and Secrets Manager answers after three round
trips, one for the connection, one for TLS and one for the request.

{unmeasured}

The 2 GiB in 4 layers are files of 64 KiB, a common size in images; the 2 GiB in 4 files are one file per layer. On the containerd store the
alternatives compare every file of the base, so they are faster with few files.

## Peak memory

{memory}

## Round trips to a registry

{round_trips}

## Many deployments, nothing to do, and the dry run

{rest}

## Limits

{targets}
"""


ROUND_TRIPS = """\
A bake waits for four round trips one after the other, if the layers of the base are in the repository already:

1. the secrets, the base's manifest and what the tags point to, side by side
2. the starts of two uploads, and whether the launcher's layer is there, side by side
3. the layer with the secrets and the config, side by side
4. the manifest, under the tag

The uploads to a new tag start as soon as the registry has said that the tag is new. If the secrets take longer than that, the second step is
over when they come.

What remains cannot be left out: an upload takes two requests in registries that follow Docker's, the manifest must not be there before its
blobs, and the blobs depend on the secrets. With several tags there is one more, for the manifest without a tag, and one for each tag. A
registry with tokens adds the request that is refused and the one for the token, side by side with the secrets. A bake with nothing to do waits
for the first round trip only. `crane append` waits for ten: it asks twice whether the registry is there, reads the manifest, the config and
the tag, asks for each blob whether it is there, and uploads a blob in three requests.

Half of `crane append` is the goal where the secrets come from Secrets Manager. The further away the registry is, the nearer is the bake to
it, as it waits for half of the round trips, connection and TLS included. On the same machine it is out of reach: there a round trip takes
less than a millisecond, and most of the time goes to what both do. The registry writes two blobs and a manifest to the disk, and a program is
started. Only the bake reads secrets, too. Without a batch, each takes a quarter of a millisecond of CPU: the SDK signs each call, which has a
connection of its own."""


@dataclasses.dataclass(frozen=True)
class Results:
    """All that one run measured."""

    comparisons: list[Comparison]
    fleet: Fleet | None
    dry_run: Measured
    quick: quick.Quick | None
    rounds: int
    # The load average before the first measurement.
    load: float

    def targets(self) -> list[targets.Target]:
        """Returns all targets whose measurements were taken."""
        found: list[targets.Target] = []
        for comparison in self.comparisons:
            found += targets.of_comparison(comparison, title(comparison))
        if self.fleet:
            found += targets.of_fleet(self.fleet)
        if self.quick:
            found += targets.of_quick(self.quick)
        return [*found, *targets.of_dry_run(self.dry_run)]


def show(results: Results) -> None:
    """Prints the tables."""
    tables = [comparison_table(results.comparisons), rest(results), target_table(results.targets())]
    print("\n\n".join(tables))


def write(results: Results, docs: pathlib.Path) -> None:
    """Writes the page and the plot."""
    page = PAGE.format(
        machine=machine(),
        load=conditions(results.load),
        rounds=results.rounds,
        often=results.rounds * TIMES_AS_OFTEN,
        secrets=deployment.SECRETS,
        comparisons=comparison_table(results.comparisons),
        unmeasured=unmeasured(),
        memory=memory_table(results.comparisons),
        rest=rest(results),
        round_trips=ROUND_TRIPS,
        targets=target_table(results.targets()),
    )
    (docs / "benchmarks.md").write_text(page)
    (docs / "benchmarks.svg").write_text(plot.svg(results.comparisons))


def machine() -> str:
    """Describes this machine in general terms."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    release = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} cores with {memory:.0f} GiB of memory and Linux {release}"


def conditions(load: float) -> str:
    """Says what else the machine had to do."""
    priority = {os.SCHED_RR: ", and the benchmark had priority over other work: `chrt --rr 1 scripts/bench`"}
    return f"The load average was\n{load:.0f} at the start{priority.get(os.sched_getscheduler(0), '')}."


def unmeasured() -> str:
    """Names the alternatives that were not installed, and how to get them."""
    missing = [f"- {rival}" for rival in rivals.missing()]
    return "\n".join(["Not measured, since they are not installed:", "", *missing]) if missing else "All of them were measured."


def title(comparison: Comparison) -> str:
    """Returns what the tables call the base."""
    return bases.ALL[comparison.base][0]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Returns a table in Markdown, its columns aligned; all but the texts of the first two are numbers."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * (width - 1) + (":" if place > 1 else "-") for place, width in enumerate(widths)]

    def line(cells: list[str]) -> str:
        padded = (
            cell.rjust(width) if place > 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    return "\n".join(map(line, [head, rule, *rows]))


def comparison_table(comparisons: list[Comparison]) -> str:
    """Returns the times of all ways, and the bake's as a part of each."""
    used = [other for other in OTHERS if any(comparison.way(other) for comparison in comparisons)]
    rows = []
    for comparison in comparisons:
        bake = comparison.way(BAKE)
        assert bake
        cells = [comparison.place, title(comparison), f"{milliseconds(bake)} ms"]
        for other in used:
            way = comparison.way(other)
            cells.append(f"{milliseconds(way)} ms ({bake.wall / way.wall:.2f})" if way else "")
        rows.append(cells)
    return table(["where", "base", BAKE, *used], rows)


def milliseconds(way: Measured) -> str:
    """Returns the time without more digits than it is worth."""
    return f"{way.wall * 1000:,.0f}"


def memory_table(comparisons: list[Comparison]) -> str:
    """Returns the peaks of the ways that are whole processes; what the engine itself takes is not in them."""
    used = [way for way in [BAKE, *OTHERS] if any(peak(comparison, way) for comparison in comparisons)]
    rows = [
        [comparison.place, title(comparison), *(peak(comparison, way) for way in used)] for comparison in comparisons
    ]
    return table(["where", "base", *used], rows)


def peak(comparison: Comparison, name: str) -> str:
    """Returns the peak memory of a way, or nothing."""
    way = comparison.way(name)
    return f"{way.peak / targets.MIB:.0f} MiB" if way and way.peak else ""


def rest(results: Results) -> str:
    """Returns what was measured without a rival."""
    return "\n".join(f"- {line}" for line in rest_lines(results))


def rest_lines(results: Results) -> Iterator[str]:
    if fleet := results.fleet:
        calls, peak_memory = fleet.measured.wall / REQUEST, (fleet.measured.peak or 0) / targets.MIB
        yield (
            f"{MANIFESTS} deployments with {REFERENCES} references each to {SECRETS} secrets, baked in one process into {MANIFESTS}\n"
            f"  repositories of the registry, with a Secrets Manager on loopback that takes {REQUEST * 1000:.0f} ms a call:\n"
            f"  {fleet.measured.wall:.2f} s, which is {calls:.0f} call times, and at most {peak_memory:.0f} MiB."
        )
    if at_once := results.quick:
        yield (
            f"A bake in the registry whose image is there already: {at_once.unchanged.wall * 1000:.1f} ms. "
            f"`--version`: {at_once.version.wall * 1000:.1f} ms."
        )
    cpu = (results.dry_run.cpu or 0) * 1000
    yield f"A dry run of {VARIABLES} variables: {cpu:.1f} ms of CPU, {milliseconds(results.dry_run)} ms in all."


def target_table(checked: list[targets.Target]) -> str:
    """Returns what must be reached and whether it is."""
    rows = [
        [
            target.what,
            "yes" if target.holds else "**no**",
            f"{target.is_now:.2f}{target.unit and ' ' + target.unit}" if target.is_measured else "not measured",
            f"{target.limit:g}{target.unit and ' ' + target.unit}",
        ]
        for target in checked
    ]
    return table(["what", "reached", "is", "limit"], rows)
