"""Prints the bill of materials of the program with that of the launchers, which are in it: python3 bill-of-materials.py FOLDER PROGRAM LAUNCHER...

Each file is CycloneDX, as cargo-cyclonedx writes it. FOLDER is where the sources were; its path is left out.
"""

import json
import pathlib
import sys


def main():
    folder, *files = sys.argv[1:]
    program, *launchers = (
        json.loads(pathlib.Path(file).read_text().replace(f"path+file://{folder}", "secretbake")) for file in files
    )
    components = {component["bom-ref"]: component for component in program["components"]}
    dependencies = {entry["ref"]: set(entry.get("dependsOn", [])) for entry in program["dependencies"]}
    for launcher in launchers:
        root = launcher["metadata"]["component"]
        # its parts are the targets of its package
        root.pop("components", None)
        for component in [root, *launcher["components"]]:
            components.setdefault(component["bom-ref"], component)
        for entry in launcher["dependencies"]:
            dependencies.setdefault(entry["ref"], set()).update(entry.get("dependsOn", []))
        dependencies[program["metadata"]["component"]["bom-ref"]].add(root["bom-ref"])
    program["components"] = [components[ref] for ref in sorted(components)]
    program["dependencies"] = [{"ref": ref, "dependsOn": sorted(dependencies[ref])} for ref in sorted(dependencies)]
    json.dump(program, sys.stdout, indent=2)
    print()


main()
