"""Owns which other programs the bake is compared with, and where to get those that `scripts/bench` does not install."""

import shutil

# Each program, and how to get it; empty for those that are installed if the system has a package of them.
PROGRAMS = {
    "docker": "",
    "podman": "",
    "buildah": "",
    "crane": "",
    "regctl": "from https://regclient.org; Debian has no package of it",
    "fnox": "`cargo install --locked fnox@1.42.0`, which needs libudev-dev and compiles for about 20 minutes on 2 cores",
}


def missing() -> list[str]:
    """Returns a line for each program that is not installed, with how to get it."""
    absent = (name for name in PROGRAMS if not shutil.which(name))
    return [f"{name} ({PROGRAMS[name]})" if PROGRAMS[name] else name for name in absent]
