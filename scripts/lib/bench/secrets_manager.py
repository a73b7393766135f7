"""Owns a Secrets Manager on loopback that answers every call after a fixed time, and counts."""

import collections
import json

from bench.slow_service import REQUEST, SlowServer


class Server(SlowServer):
    """Answers GetSecretValue and BatchGetSecretValue of whatever name, in JSON 1.1.

    `calls` counts by secret and action, `version` is that of every secret.
    """

    def __init__(self, seconds: float = REQUEST) -> None:
        super().__init__(seconds)
        self.calls: collections.Counter[tuple[str, str]] = collections.Counter()
        self.version = 0

    def respond(self, path: str, target: str, body: bytes) -> tuple[str, bytes]:
        asked, action = json.loads(body), target.rpartition(".")[2]
        if names := asked.get("SecretIdList"):
            answer = {"SecretValues": [self.secret(name, action) for name in names], "Errors": []}
        else:
            answer = self.secret(asked["SecretId"], action)
        return "application/x-amz-json-1.1", json.dumps(answer).encode()

    def secret(self, name: str, action: str) -> dict[str, object]:
        """Returns the current version of a secret."""
        self.calls[name, action] += 1
        return {
            "ARN": f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf",
            "Name": name,
            "VersionId": f"00000000-0000-4000-8000-{self.version:012}",
            "SecretString": f"version {self.version} of {name}",
            "VersionStages": ["AWSCURRENT"],
        }
