"""Owns the runs of the tests: which mutants each of them reaches, and whether one of them notices a mutant."""

import collections
import contextlib
import dataclasses
import itertools
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence

# Seconds that a test may take without a mutant; longer ones are left out.
LONGEST = 60
# How many times as long as without a mutant a run may take, and seconds for the machine to be busy with other work.
PATIENCE, PAUSE = 10, 10
# Seconds of tests that are run at once, and in all for one mutant: nearly every test reaches what all commands use.
AT_ONCE, IN_ALL = 1.0, 60.0
# A line of the tests' output.
FAILED = re.compile(r"^test (\S+) \.\.\. FAILED$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Test:
    """A test by its name in a program of tests."""

    program: pathlib.Path
    name: str


class Tests:
    """The tests that pass without a mutant: what each took in seconds, which of them reach a mutant, and how many each noticed."""

    def __init__(self, tree: pathlib.Path, programs: Sequence[pathlib.Path]) -> None:
        self.tree = tree
        self.seconds: dict[Test, float] = {}
        self.failed: list[Test] = []
        self.reaching: dict[int, list[Test]] = collections.defaultdict(list)
        self.reached: dict[Test, int] = {}
        self.noticed: collections.Counter[str] = collections.Counter()
        for program in programs:
            for test in self._list(program):
                self._trace(test)

    def _list(self, program: pathlib.Path) -> Iterator[Test]:
        command = [program, "--list", "--format", "terse"]
        for line in subprocess.run(command, cwd=self.tree, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
            name, _, kind = line.rpartition(": ")
            if kind == "test":
                yield Test(program, name)

    def _trace(self, test: Test) -> None:
        (self.tree / "mutant").write_text("trace")
        trace = self.tree / "reached"
        trace.write_text("")
        # some tests run the program as other users
        trace.chmod(0o666)
        began = time.monotonic()
        if not self._pass([test], LONGEST):
            self.failed.append(test)
            return
        self.seconds[test] = time.monotonic() - began
        reached = {int(line) for line in trace.read_text().split()}
        self.reached[test] = len(reached)
        for number in reached:
            self.reaching[number].append(test)

    def notice(self, number: int) -> bool:
        """Tells whether a test fails, or does not end, with a mutant. Those come first that are quick, reach little else or have noticed
        others; after a minute of them it is given up.
        """
        (self.tree / "mutant").write_text(str(number))
        tests = sorted(self.reaching[number], key=self._distance)
        costs = itertools.accumulate(self.seconds[test] for test in tests)
        tried = [test for test, cost in zip(tests, costs, strict=True) if cost <= IN_ALL] or tests[:1]
        return not all(self._pass(batch, PAUSE + PATIENCE * self._cost(batch)) for batch in self._batches(tried))

    def _distance(self, test: Test) -> float:
        return self.seconds[test] * self.reached[test] / (1 + self.noticed[test.name])

    def _cost(self, tests: Sequence[Test]) -> float:
        return sum(self.seconds[test] for test in tests)

    def _batches(self, tests: Sequence[Test]) -> Iterator[list[Test]]:
        batch: list[Test] = []
        for test in tests:
            if batch and (batch[0].program != test.program or self._cost([*batch, test]) > AT_ONCE):
                yield batch
                batch = []
            batch.append(test)
        if batch:
            yield batch

    def _pass(self, tests: Sequence[Test], limit: float) -> bool:
        command = [tests[0].program, "--exact", *(test.name for test in tests)]
        with tempfile.TemporaryFile() as output:
            child = subprocess.Popen(
                command,
                cwd=self.tree,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                return child.wait(limit) == 0
            except subprocess.TimeoutExpired:
                return False
            finally:
                # with the programs that it started
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                output.seek(0)
                self.noticed.update(FAILED.findall(output.read().decode(errors="replace")))
