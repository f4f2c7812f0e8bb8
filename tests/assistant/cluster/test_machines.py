"""A cluster of two nodes on this machine, one of which goes down in the middle: `pytest -m slow`."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import assistant

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
ROOT = Path(assistant.__file__).parent.parent
STUDIES = 24


def until(seen, seconds=300):
    """Wait until `seen()` gives something, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := seen()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@pytest.fixture
def cluster():
    """Begins a head and a second node with one CPU each; gives its address, its environment and the second node."""
    pytest.importorskip("ray", reason="is what is tested")
    psutil = pytest.importorskip("psutil", reason="finds the nodes' processes")
    program = Path(sys.executable).with_name("ray")
    folder = tempfile.mkdtemp(prefix="mar-", dir="/tmp")  # names of sockets are short
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_enable_metrics_collection": "0", "RAY_worker_niceness": "0",
    }  # fmt: skip
    common = ["--node-ip-address", "127.0.0.1", "--num-cpus", "1", "--object-store-memory", "80000000", "--block"]
    head = ["--head", "--port", address.partition(":")[2], "--include-dashboard", "false", "--temp-dir", folder]
    nodes = []

    def begin(*words):
        log = Path(folder) / f"node{len(nodes)}.log"
        with log.open("w") as told:
            nodes.append(
                subprocess.Popen([program, "start", *words, *common], env=environment, stdout=told, stderr=told)
            )
        assert until(lambda: "will now block" in log.read_text() or nodes[-1].poll() is not None)
        assert nodes[-1].poll() is None, log.read_text()

    def raylet_of(node):
        below = psutil.Process(node.pid).children(recursive=True)
        return next(one.pid for one in below if one.name() == "raylet")

    try:
        begin(*head)
        begin("--address", address)
        yield address, environment, lambda: os.kill(raylet_of(nodes[1]), signal.SIGKILL)
    finally:
        below = [
            one for node in nodes if node.poll() is None for one in psutil.Process(node.pid).children(recursive=True)
        ]
        for node in nodes:
            node.terminate()
        for one in below:
            if one.is_running():
                one.kill()
        for node in nodes:
            node.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def test_each_study_is_reported_once_when_a_machine_goes_down(cluster, tmp_path, tiny_folder, make_file):
    address, environment, end_one = cluster
    for number in range(STUDIES):
        make_file(f"in/{number:02d}.png", seed=number)
    (tmp_path / "in" / "broken.png").write_bytes(b"no")
    words = [sys.executable, ROOT / "app.py", "report", "in", "--out", "out", "--model", tiny_folder, "--index", "none",
             "--batch-size", "2", "--engine", "ray", "--ray-address", address]  # fmt: skip
    process = subprocess.Popen(
        list(map(str, words)), cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    reports = tmp_path / "out" / "reports.jsonl"
    assert until(lambda: reports.exists() and reports.stat().st_size or process.poll() is not None)
    end_one()
    told, errors = process.communicate(timeout=600)
    assert told.startswith(f"{STUDIES} reported, 1 failed, 0 done before"), errors
    assert "raylet" not in errors
    studies = [json.loads(line)["study"] for line in reports.read_text(encoding="utf-8").splitlines()]
    assert len(studies) == len(set(studies)) == STUDIES
