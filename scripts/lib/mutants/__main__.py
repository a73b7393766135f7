"""The table of contents: lists the mutants, compiles them, runs the tests, names what no test notices.

    python3 -m mutants CONFIG TREE ROOM...

CONFIG is that of cargo-mutants, TREE a copy of the repository, and ROOM a part of src/. Exit status 1 if a mutant is not noticed.
"""

import collections
import json
import pathlib
import resource
import subprocess
import sys

from mutants.program import build_tests, compile_mutants, prepare, say
from mutants.rewrite import Mutant
from mutants.tests import Tests

# What a process with a mutant may use, in bytes and in seconds: some never end.
MEMORY, CPU = 6 << 30, 300


def list_mutants(config: str, tree: pathlib.Path, rooms: list[str]) -> list[Mutant]:
    """Has cargo-mutants list all of the rooms; its config leaves out what no test can notice."""
    command = ["cargo", "mutants", "--list", "--json", "--config", config]
    for room in rooms:
        # the adapters in folders of src/secrets only pass on what services say
        files = "*.rs" if room == "secrets" else "**"
        command += ["--file", f"src/{room}.rs", "--file", f"src/{room}/{files}"]
    listed = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [
        Mutant(number, one["name"], one["file"], one["genre"], one["replacement"], start["line"], start["column"])
        for number, one in enumerate(json.loads(listed))
        for start in [one["span"]["start"]]
    ]


def main() -> int:
    config, tree, rooms = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    mutants = list_mutants(config, tree, rooms)
    prepare(tree)
    dropped, constant = compile_mutants(tree, mutants)
    programs = build_tests(tree)
    say(f"{len(mutants)} mutants, {len(dropped)} do not compile; tracing the tests")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
    tests = Tests(tree, programs)
    say(f"{len(tests.seconds)} tests pass, {len(tests.failed)} do not")
    counts = {room: collections.Counter() for room in rooms}
    for mutant in mutants:
        if mutant.number in dropped:
            outcome = "do not compile"
        elif mutant.number not in constant and tests.notice(mutant.number):
            outcome = "noticed"
        else:
            outcome = "not noticed"
            print(f"not noticed: {mutant.name}", flush=True)
        counts[mutant.room][outcome] += 1
    for room, count in counts.items():
        print(f"{room}: {count.total()} mutants, " + ", ".join(f"{number} {outcome}" for outcome, number in count.items()))
    return 1 if any(count["not noticed"] for count in counts.values()) else 0


sys.exit(main())
