"""Ray itself, on this machine: `pytest -m slow`."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import assistant
from benchmarks.worklist_killed import _below, _title

# Ray starts a dozen processes: on a machine that is busy otherwise, minutes go by.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
ROOT = Path(assistant.__file__).parent.parent


@pytest.fixture
def report(tmp_path, tiny_folder, make_file):
    pytest.importorskip("ray", reason="is what is tested")
    for number in range(12):
        make_file(f"in/{number:02d}.png", seed=number)
    (tmp_path / "in" / "broken.png").write_bytes(b"no")

    def begin(out, *options):
        command = [sys.executable, ROOT / "app.py", "report", "in", "--out", out, "--model", tiny_folder]
        words = [*map(str, command), "--index", "none", "--batch-size", "3", *options]
        return subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return begin


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def pages(folder):
    return {page.name: page.read_bytes() for page in (folder / "studies").iterdir()}


def compared(folder):
    records = sorted(lines(folder / "reports.jsonl"), key=lambda one: one["study"])
    return [json.dumps({name: value for name, value in one.items() if name != "seconds"}) for one in records]


def test_actors_write_what_the_local_engine_writes_and_leave_nothing_behind(report, tmp_path):
    for out, options in (("local", ()), ("ray", ("--engine", "ray", "--actors", "2"))):
        process = report(out, *options)
        told, errors = process.communicate(timeout=600)
        assert process.returncode == 1, errors
        assert told.startswith("12 reported, 1 failed, 0 done before")
        assert not list(Path("/tmp").glob(f"medassist-ray-{process.pid}-*"))
    assert compared(tmp_path / "local") == compared(tmp_path / "ray")
    assert lines(tmp_path / "local" / "failures.jsonl") == lines(tmp_path / "ray" / "failures.jsonl")
    pages = [
        {page.name: page.read_bytes() for page in (tmp_path / one / "studies").iterdir()} for one in ("local", "ray")
    ]
    assert pages[0] == pages[1]


def test_an_actor_that_is_killed_costs_no_study_its_report(report, tmp_path):
    process = report("out", "--engine", "ray", "--actors", "1")
    deadline = time.monotonic() + 500
    actors = []
    while not actors and time.monotonic() < deadline and process.poll() is None:
        actors = [one for one in _below(process.pid) if _title(one).startswith("ray::ReportActor")]
        time.sleep(0.02)
    os.kill(actors[0], signal.SIGKILL)
    told, errors = process.communicate(timeout=600)
    assert told.startswith("12 reported, 1 failed, 0 done before"), errors
    assert len({one["study"] for one in lines(tmp_path / "out" / "reports.jsonl")}) == 12


def test_ray_listens_on_this_machine_alone_and_its_folder_holds_no_path_of_an_input(report, tmp_path):
    psutil = pytest.importorskip("psutil", reason="tells who listens")

    process = report("out", "--engine", "ray", "--actors", "1")
    reports = tmp_path / "out" / "reports.jsonl"
    deadline = time.monotonic() + 500
    while not (reports.exists() and reports.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)
    listening = {
        connection.laddr.ip
        for one in [process.pid, *_below(process.pid)]
        for connection in psutil.Process(one).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    (folder,) = Path("/tmp").glob(f"medassist-ray-{process.pid}-*")
    held = [path for path in folder.rglob("*") if path.is_file()]
    named = [path.name for path in held if b".png" in path.read_bytes()]
    mode = folder.stat().st_mode & 0o777
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=600)
    assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert listening
    assert held
    assert named == []
    assert mode == 0o700
