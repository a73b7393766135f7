"""What a seal costs at bake and at start, beside a plain image.

    python3 -m bench.seal SECRETBAKE WORK ROUNDS

Bakes 20 secrets to an OCI layout, from scratch, and starts a program of that image in its own root directory. Prints a table. Needs root, for
chroot, and age-keygen.
"""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import time

from bench.deployment import Deployment, environment
from bench.measure import unwrapped

STARTS_A_BAKE = 20


def unpack(layout: pathlib.Path, root: pathlib.Path, busybox: str) -> None:
    """Writes the image's files into a directory, with busybox as the program to start."""

    def blob(digest: str) -> pathlib.Path:
        return layout / "blobs" / digest.replace(":", "/")

    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text())
    for layer in manifest["layers"]:
        with tarfile.open(blob(layer["digest"])) as layer_tar:
            layer_tar.extractall(root, filter="tar")
    shutil.copy(busybox, root / "true")


def main() -> int:
    secretbake, work, rounds = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    shutil.rmtree(work, ignore_errors=True)
    busybox = shutil.which("busybox")
    assert busybox, "busybox is not installed"
    deployment = Deployment(secretbake, work / "deployment")
    deployment.write()
    key = work / "key.txt"
    subprocess.run(["age-keygen", "-o", key], check=True, stderr=subprocess.DEVNULL)
    recipient = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
    identity = next(line for line in key.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-1"))
    ways = {"plain": [], "sealed": ["--seal-to", recipient]}
    bakes: dict[str, list[float]] = {way: [] for way in ways}
    starts: dict[str, list[float]] = {way: [] for way in ways}
    for round_number in range(rounds):
        deployment.rotate(f"round {round_number}")
        for way, options in ways.items():
            layout, root = work / f"{way}-{round_number}", work / f"root-{way}-{round_number}"
            command = [str(secretbake), "bake", "deploy.yaml", "--org", "org.yaml", "--base", "scratch"]
            command += ["--tag", f"oci:{layout}:1", *options]
            bakes[way].append(unwrapped(command, environment(deployment.directory), deployment.directory).wall)
            unpack(layout, root, busybox)
        for _ in range(STARTS_A_BAKE):
            for way in ways:
                root = work / f"root-{way}-{round_number}"
                began = time.perf_counter()
                subprocess.run(
                    ["/usr/sbin/chroot", root, "/.secretbake/launch", "/true"],
                    env={"SECRETBAKE_KEY": identity} if way == "sealed" else {},
                    check=True,
                )
                starts[way].append(time.perf_counter() - began)
    shutil.rmtree(work)
    print("|  | plain | sealed | sealed / plain |\n|---|--:|--:|--:|")
    for title, times in [("bake to a layout", bakes), ("start", starts)]:
        plain, sealed = (statistics.median(times[way]) * 1000 for way in ways)
        print(f"| {title} | {plain:.1f} ms | {sealed:.1f} ms | {sealed / plain:.2f} |")
    return 0


sys.exit(main())
