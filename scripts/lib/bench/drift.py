"""How long `drift` takes for a large fleet, in round trips.

    python3 -m bench.drift SECRETBAKE WORK ROUNDS

A server on loopback is the registry and the Secrets Manager: 500 images of one repository with 50 secrets, and every request takes 50 ms.
Prints the median time and its ratio to the time of one request to the same server, on a connection of its own while the server has nothing
else to do; a test counts the round trips themselves (tests/it/fleet.rs). Exit status 1 if the ratio exceeds the limit, or if a document or
a secret is asked for twice.
"""

import collections
import hashlib
import http.client
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from bench.deployment import environment, write_private
from bench.fleet import AWS_ORG
from bench.slow_service import REQUEST, SlowServer

IMAGES = 500
SECRETS = 50
JOBS = 32
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DRIFTED = 3
# Round trips' time.
LIMIT = 20


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def config(number: int) -> bytes:
    """Returns the config of an image, which holds one of the secrets."""
    arn = f"arn:aws:secretsmanager:us-east-1:123456789012:secret:fleet/{number % SECRETS}-AbCdEf"
    origin = {"credential": "aws", "secret": arn, "version_id": "old"}
    label = {"version": 1, "base": None, "inject": "launcher", "variables": {f"V{number}": origin}}
    labels = {"dev.secretbake.provenance": json.dumps(label)}
    rootfs = {"type": "layers", "diff_ids": []}
    return json.dumps(
        {"os": "linux", "architecture": "amd64", "rootfs": rootfs, "config": {"Labels": labels}}
    ).encode()


def documents() -> dict[str, tuple[str, bytes]]:
    """Returns what the registry has, by path, with its type."""
    tags = {"name": "crew", "tags": [f"t{number}" for number in range(IMAGES)]}
    found = {"/v2/crew/tags/list": ("application/json", json.dumps(tags).encode())}
    for number in range(IMAGES):
        content = config(number)
        kind = "application/vnd.oci.image.config.v1+json"
        descriptor = {"mediaType": kind, "size": len(content), "digest": digest(content)}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config": descriptor}
        found[f"/v2/crew/manifests/t{number}"] = (MANIFEST, json.dumps(manifest).encode())
        found[f"/v2/crew/blobs/{digest(content)}"] = ("application/octet-stream", content)
    return found


class Server(SlowServer):
    """The registry and the Secrets Manager, as far as `drift` asks them; `asked` counts by path and by secret."""

    def __init__(self) -> None:
        super().__init__()
        self.documents = documents()
        self.asked: collections.Counter[str] = collections.Counter()

    def respond(self, path: str, target: str, body: bytes) -> tuple[str, bytes]:
        if not target:
            path = path.partition("?")[0]
            self.asked[path] += 1
            return self.documents[path]
        arn = json.loads(body)["SecretId"]
        self.asked[arn] += 1
        secret = {"ARN": arn, "Name": arn, "VersionIdsToStages": {"new": ["AWSCURRENT"]}}
        return "application/x-amz-json-1.1", json.dumps(secret).encode()


def one_request(host: str) -> float:
    """Returns the median time of a request of its own."""
    times = []
    for _ in range(11):
        began = time.perf_counter()
        connection = http.client.HTTPConnection(host)
        connection.request("GET", "/v2/crew/manifests/t0")
        connection.getresponse().read()
        times.append(time.perf_counter() - began)
        connection.close()
    return statistics.median(times)


def main() -> int:
    secretbake, work, rounds = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_private(work / "org.yaml", AWS_ORG)
    times, most = [], 0
    with Server() as server:
        host = f"127.0.0.1:{server.server_port}"
        env = environment(work, AWS_ENDPOINT_URL=f"http://{host}", BENCH_SECRET_KEY="not-a-real-key")
        command = [str(secretbake), "drift", f"docker://{host}/crew", "--tags", "*", "--jobs", str(JOBS)]
        command += ["--org", "org.yaml"]
        request = one_request(host)
        for _ in range(rounds):
            server.asked.clear()
            began = time.perf_counter()
            ran = subprocess.run(command, env=env, cwd=work, capture_output=True, text=True)
            times.append(time.perf_counter() - began)
            assert ran.returncode == DRIFTED, ran.stderr
            assert len(server.asked) == 1 + 2 * IMAGES + SECRETS, len(server.asked)
            most = max(most, *server.asked.values())
    shutil.rmtree(work)
    wall = statistics.median(times)
    trips = wall / request
    print(
        f"drift of {IMAGES} images with {SECRETS} secrets, {REQUEST * 1000:.0f} ms a request, --jobs {JOBS}: {wall:.2f} s, "
        f"which is {trips:.1f} times one request ({request * 1000:.1f} ms), limit {LIMIT}; each document and secret asked for {most} time(s)"
    )
    return 0 if most == 1 and trips <= LIMIT else 1


sys.exit(main())
