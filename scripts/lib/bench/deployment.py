"""Owns the deployment that is baked: its files, the values of each round, and the command that bakes it."""

import dataclasses
import json
import os
import pathlib

from bench.measure import Sample, process

# As many secret variables as a deployment of some size has.
SECRETS = 20

FILE_ORG = """\
version: 1
credentials:
  - name: local
    provider: file
    path: secrets.yaml
    default: true
"""


def environment(home: pathlib.Path, **more: str) -> dict[str, str]:
    """Returns what every process is given, and nothing of the user's own."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **more}


def write_private(path: pathlib.Path, text: str) -> None:
    """Writes a file that only its owner may read, as secretbake asks of one with secrets."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def manifest(references: dict[str, str], image: dict[str, object] | None = None) -> str:
    """Returns a manifest, whose YAML is JSON, with a secret for each variable."""
    env = {name: {"secret": secret} for name, secret in references.items()}
    return json.dumps({"version": 1, "image": image or {}, "env": env})


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A manifest with its org file and its secrets in a directory of its own."""

    secretbake: pathlib.Path
    directory: pathlib.Path
    # More variables, of everything that runs on it.
    variables: dict[str, str] = dataclasses.field(default_factory=dict, kw_only=True)

    def write(self) -> None:
        """Writes what stays the same in all rounds."""
        self.directory.mkdir(parents=True)
        references = {f"VALUE_{number}": f"secret-{number}" for number in range(SECRETS)}
        (self.directory / "deploy.yaml").write_text(manifest(references))
        write_private(self.directory / "org.yaml", FILE_ORG)

    def rotate(self, label: str) -> None:
        """Gives every secret a new value; the same values go into the file that others copy."""
        values = {f"secret-{number}": f"{label} {number:032}" for number in range(SECRETS)}
        write_private(self.directory / "secrets.yaml", json.dumps({"version": 1, "secrets": values}))
        context = self.directory / "context"
        context.mkdir(exist_ok=True)
        (context / "env").write_text("\n".join(values.values()))

    def bake(self, base: str, tag: str, **env: str) -> Sample:
        """Bakes, as a whole process."""
        return process(self.command(base, tag), self.environment(**env), self.directory)

    def environment(self, **more: str) -> dict[str, str]:
        """Returns what a process is given that runs on it."""
        return environment(self.directory, **self.variables, **more)

    def command(self, base: str, tag: str) -> list[str]:
        """Returns the command that bakes."""
        return [str(self.secretbake), "bake", "deploy.yaml", "--org", "org.yaml", "--base", base, "--tag", tag]
