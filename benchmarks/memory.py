"""Memory of the whole embedded default."""

import json
import os
import subprocess
import time
from pathlib import Path

import requests

from gateway.embedded.supervisor import gateway, wait_ready
from tests.running import free_port
from tests.support import HOUSING, consent, referral

from .load import rate
from .servers import HUB, Bench, process


def memory(root: int) -> float:
    """MiB of *root* and all its descendants: proportional set size, so that shared pages count once."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    todo, total = [root], 0
    while todo:
        one = todo.pop()
        todo += children.get(one, [])
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def memories(bench: Bench) -> dict[str, float]:
    """MiB of the whole embedded default: supervisor, web process, delivery process, PostgreSQL."""
    folder, port = bench.folder / "up", free_port()
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("GATEWAY_DATABASE_URL", "GATEWAY_MASTER_KEY")
    }
    environment = {**inherited, "GATEWAY_DATA_FOLDER": str(folder), "GATEWAY_PORT": str(port)}
    with process(gateway("up"), environment) as running:
        assert wait_ready(f"http://127.0.0.1:{port}/readyz", 60), "the embedded default does not answer"
        time.sleep(4)
        found = {"at rest": memory(running.pid)}
        adding = subprocess.run([*gateway("hubs"), "add", HUB.hub], env=environment, capture_output=True, text=True)
        key = adding.stdout.strip()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        base = f"http://127.0.0.1:{port}"
        agreed = requests.post(f"{base}/v1/consents", json=consent(), headers=headers, timeout=5).json()["id"]
        rate(port, "/v1/referrals", headers, [json.dumps(referral(agreed, HOUSING)).encode()])
        found["under load"] = memory(running.pid)
    return found
