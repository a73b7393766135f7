"""Prints the licences of the libraries in the program: python3 third-party.py < the outputs of `cargo metadata`, a line each: the
program's, and that of the launchers, which are in the program.

Each licence text is printed once, below the libraries that it is for. Fails if a library names no licence.
"""

import json
import pathlib
import sys

NAMES = ("license", "licence", "copying", "notice", "unlicense")


def linked(metadata):
    """The packages that end up in the program: normal dependencies, and theirs."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    seen, todo = {root}, [root]
    while todo:
        for dependency in nodes[todo.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                todo.append(dependency["pkg"])
    # a package without a source is of this repository
    return [package for package in metadata["packages"] if package["id"] in seen and package["source"]]


def texts(package):
    """The package's licence files, without the blanks around them."""
    folder = pathlib.Path(package["manifest_path"]).parent
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().startswith(NAMES))
    return [path.read_text(errors="replace").strip() for path in files]


def main():
    by_text = {}
    packages = {(package["name"], package["version"]): package for line in sys.stdin for package in linked(json.loads(line))}
    for _, package in sorted(packages.items()):
        licence = package["license"] or package["license_file"]
        if not licence:
            sys.exit(f"{package['name']} {package['version']} names no licence")
        for text in texts(package) or ["The package has no licence file: its licence is the one named above."]:
            by_text.setdefault(text, []).append(f"{package['name']} {package['version']}: {licence}")
    print("The program secretbake contains the libraries below, each under its licence.")
    for text, lines in by_text.items():
        print("\n" + "-" * 78 + "\n" + "\n".join(lines) + "\n\n" + text)


main()
