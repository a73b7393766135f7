"""bases.py BUSYBOX DIR: writes each base image as DIR/NAME.tar, a docker-archive with the same bytes every time."""

import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# Lines that a lookup of a user must get past.
PASSWD = """\
root:x:0:0:root:/root:/bin/sh
# a comment
no-colons-at-all

:x:77:77:no name:/:/bin/sh
short:x:4242
words:x:one:two::/:/bin/sh
app:x:1000:1000:the app:/home/app:/bin/sh
app:x:2000:2000:the name a second time:/:/bin/sh
other:x:1001:1002::/:
"""

GROUP = "root:x:0:\napp:x:1000:\nstaff:x:1002:app,other\n"


class Layer:
    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.USTAR_FORMAT)

    def directory(self, path, mode=0o755, owner=0):
        self._add(path, tarfile.DIRTYPE, mode, owner)

    def file(self, path, content, mode=0o644):
        self._add(path, tarfile.REGTYPE, mode, 0, content)

    def link(self, path, target):
        self._add(path, tarfile.SYMTYPE, 0o777, 0, target=target)

    def _add(self, path, kind, mode, owner, content=b"", target=""):
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), target
        entry.uid = entry.gid = owner
        self.tar.addfile(entry, io.BytesIO(content))

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def busybox(program):
    layer = Layer()
    for path in ["bin", "etc", "home", "root"]:
        layer.directory(path)
    layer.directory("home/app", owner=1000)
    layer.directory("tmp", mode=0o1777)
    layer.file("bin/busybox", program.read_bytes(), 0o755)
    applets = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in sorted(set(applets) - {"busybox"}):
        layer.link(f"bin/{applet}", "busybox")
    layer.file("etc/passwd", PASSWD.encode())
    layer.file("etc/group", GROUP.encode())
    return layer.bytes(), {
        "Env": ["PATH=/bin", "FROM_BASE=kept"],
        "Cmd": ["sh"],
        "Labels": {"org.example.base": "busybox"},
    }


def scratchlike(program):
    layer = Layer()
    layer.directory("app")
    layer.file("app/busybox", program.read_bytes(), 0o755)
    return layer.bytes(), {"Env": ["PATH=/app"], "Entrypoint": ["/app/busybox"], "Cmd": ["env"], "WorkingDir": "/app"}


def digest(content):
    return hashlib.sha256(content).hexdigest()


def archive(name, layer, config):
    machine = subprocess.run(["uname", "-m"], check=True, capture_output=True, text=True).stdout.strip()
    created = "2024-01-01T00:00:00Z"
    image = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "created": created,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(layer)}"]},
        "history": [{"created": created, "created_by": f"secretbake-test {name}"}],
    }
    raw = json.dumps(image).encode()
    manifest = [
        {
            "Config": f"{digest(raw)}.json",
            "RepoTags": [f"secretbake-test/{name}:1"],
            "Layers": [f"{digest(layer)}/layer.tar"],
        }
    ]
    whole = Layer()
    whole.file(f"{digest(raw)}.json", raw)
    whole.directory(digest(layer))
    whole.file(f"{digest(layer)}/layer.tar", layer)
    whole.file("manifest.json", json.dumps(manifest).encode())
    return whole.bytes()


def main():
    program, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True)
    for make in [busybox, scratchlike]:
        (out / f"{make.__name__}.tar").write_bytes(archive(make.__name__, *make(program)))


main()
