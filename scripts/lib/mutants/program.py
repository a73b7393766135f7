"""Owns the copy of the program with all mutants in it: writes it, finds the mutants that do not compile, and builds the tests."""

import collections
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Iterator

from mutants.rewrite import Mutant, Source, marked

SWITCH = pathlib.Path(__file__).with_name("switch.rs")


def say(text: str) -> None:
    print(f"mutants: {text}", file=sys.stderr, flush=True)


class NotExplained(Exception):
    """A compiler error that no mutant is to blame for."""


def cargo(tree: pathlib.Path, *arguments: str) -> tuple[int, list[dict]]:
    """Runs cargo in the copy, and returns its exit status and messages."""
    ran = subprocess.run(
        ["cargo", *arguments, "--locked", "--message-format=json"], cwd=tree, stdout=subprocess.PIPE, text=True
    )
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()]


def prepare(tree: pathlib.Path) -> None:
    """Adds the switch, and takes away the lints that a mutant may offend."""
    manifest, library = tree / "Cargo.toml", tree / "src/lib.rs"
    lines, kept = manifest.read_text().splitlines(keepends=True), True
    with manifest.open("w") as file:
        for line in lines:
            if line.startswith("["):
                kept = not line.startswith("[lints")
            if kept:
                file.write(line)
    library.write_text(f"#![allow(arithmetic_overflow, unconditional_panic)]\n{library.read_text()}\npub mod switch;\n")
    (tree / "src/switch.rs").write_text(SWITCH.read_text())


def spans(message: dict) -> Iterator[dict]:
    """Returns where a compiler's message points to, and where the macro there was called."""
    for span in filter(lambda span: span["is_primary"], message["spans"]):
        while span:
            yield span
            span = span["expansion"] and span["expansion"]["span"]


def compile_mutants(tree: pathlib.Path, mutants: Iterable[Mutant]) -> tuple[set[int], set[int]]:
    """Puts every mutant that compiles into the copy. Returns those that do not, and those that cannot be switched.

    Raises `NotExplained`.
    """
    by_file = collections.defaultdict(list)
    for mutant in mutants:
        by_file[mutant.file].append(mutant)
    sources = {file: Source((tree / file).read_bytes(), there) for file, there in by_file.items()}
    dropped = set().union(*(source.wrong for source in sources.values()))
    status = 1
    while status != 0:
        places = {}
        for file, source in sources.items():
            content = source.rewritten(dropped)
            (tree / file).write_bytes(content)
            places[file] = marked(content)
        status, messages = cargo(tree, "check", "--lib")
        errors = [message["message"] for message in messages if message["reason"] == "compiler-message"]
        errors = [error for error in errors if error["level"] == "error"]
        found = {
            number
            for error in errors
            for span in spans(error)
            for place, number in places.get(span["file_name"], [])
            if span["byte_start"] in place
        }
        if status != 0 and not found:
            raise NotExplained("\n".join(error["rendered"] for error in errors))
        dropped |= found
        say(f"{len(dropped)} mutants do not compile")
    return dropped, set().union(*(source.constant for source in sources.values()))


def build_tests(tree: pathlib.Path) -> list[pathlib.Path]:
    """Builds the unit tests and the integration tests, and returns their programs in this order."""
    status, messages = cargo(tree, "test", "--no-run", "--lib", "--test", "it")
    assert status == 0, "the tests do not build with the mutants"
    built = [message for message in messages if message.get("executable") and message["profile"]["test"]]
    return [pathlib.Path(one["executable"]) for one in sorted(built, key=lambda one: one["target"]["name"] == "it")]
