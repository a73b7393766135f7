"""Owns the measuring: what one run costs, and rounds in which all contenders take turns."""

import dataclasses
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence


class ProcessFailed(Exception):
    """A process that failed: its command, its exit status and what it said."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """What one run cost: seconds of wall time and, of a process with its children, seconds of CPU and peak bytes."""

    wall: float
    cpu: float | None = None
    peak: int | None = None


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to do the work. Only `run` is measured; `prepare` is given the round's number, so that no value comes twice."""

    name: str
    run: Callable[[], Sample]
    prepare: Callable[[int], None] = lambda _: None
    clean: Callable[[], None] = lambda: None


@dataclasses.dataclass(frozen=True)
class Measured:
    """The median times of a contender, and its highest peak."""

    name: str
    wall: float
    cpu: float | None
    peak: int | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What the contenders took at one place, on one base."""

    place: str
    base: str
    ways: list[Measured]

    def way(self, name: str) -> Measured | None:
        """Returns a contender's measurements, if it took part."""
        return next((way for way in self.ways if way.name == name), None)


def process(command: Sequence[str], env: Mapping[str, str], cwd: str | os.PathLike[str]) -> Sample:
    """Runs a whole process, from before its start until it is gone.

    Raises `ProcessFailed`.
    """
    with tempfile.NamedTemporaryFile("r") as peak:
        # A process counts what its parent held as its own peak, so the parent is a small one and not this.
        sample = unwrapped(["/usr/bin/time", "--quiet", "--format=%M", f"--output={peak.name}", *command], env, cwd)
        return dataclasses.replace(sample, peak=int(peak.read()) * 1024)


def unwrapped(command: Sequence[str], env: Mapping[str, str], cwd: str | os.PathLike[str]) -> Sample:
    """Runs a whole process by itself: nothing else is in its times, but its peak is not known.

    Raises `ProcessFailed`.
    """
    began = time.perf_counter()
    child = subprocess.Popen(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert child.stderr
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    child.stderr.close()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise ProcessFailed(f"{command} with {child.returncode}: {said.decode(errors='replace')}")
    return Sample(wall, usage.ru_utime + usage.ru_stime)


def timed(work: Callable[[], object]) -> Sample:
    """Times work that is done in this process."""
    began = time.perf_counter()
    work()
    return Sample(time.perf_counter() - began)


def rounds(contenders: Sequence[Contender], count: int) -> list[Measured]:
    """Lets each contender run once a round. The first round warms caches up and does not count."""
    samples: list[list[Sample]] = [[] for _ in contenders]
    for number in range(count + 1):
        for contender, taken in zip(contenders, samples, strict=True):
            contender.prepare(number)
            sample = contender.run()
            contender.clean()
            if number > 0:
                taken.append(sample)
    return [summary(contender.name, taken) for contender, taken in zip(contenders, samples, strict=True)]


def summary(name: str, samples: Sequence[Sample]) -> Measured:
    """Returns what the samples come to."""
    cpu = [sample.cpu for sample in samples if sample.cpu is not None]
    peak = [sample.peak for sample in samples if sample.peak is not None]
    wall = statistics.median(sample.wall for sample in samples)
    return Measured(name, wall, statistics.median(cpu) if cpu else None, max(peak) if peak else None)
