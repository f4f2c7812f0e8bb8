"""A worklist that is killed again and again: is every study reported once, and every broken one given its reason?"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import assistant
from assistant.names import paths_of
from benchmarks.worklist_mixture import Mixture

APP = Path(assistant.__file__).parent.parent / "app.py"
LONGEST_RUN_S = 3600.0


@dataclass(frozen=True)
class Plan:
    """How a run is disturbed."""

    kills: int = 5
    """So often is the whole program killed."""
    actor_kills: int = 0
    """So often is one actor of Ray killed, while the program goes on."""
    options: tuple[str, ...] = ()
    """Further words for `report`."""
    seed: int = 0


def run_killed(mixture: Mixture, out: Path, plan: Plan) -> dict[str, Any]:
    """Report on a mixture, kill at random, go on until the end, and count.

    Args:
        mixture: from `make_mixture`.
        out: the run's folder.
        plan: what is killed how often.
    Returns:
        What was counted; `right` tells whether all of it is as it must be.
    """
    lot = random.Random(plan.seed)
    # Where to kill, in studies reported by then: spread over the run, each at random within its share.
    events = ["program"] * plan.kills + ["actor"] * plan.actor_kills
    lot.shuffle(events)
    share = mixture.good.total() / max(1, len(events))
    places = [int((number + lot.random()) * share) for number in range(len(events))]
    killed: list[str] = []
    process = _start(mixture, out, plan)
    started = time.monotonic()
    for what, place in zip(events, places, strict=True):
        while process.poll() is None and _reported(out) < place and time.monotonic() - started < LONGEST_RUN_S:
            time.sleep(0.05)
        time.sleep(lot.random() / 2)
        if process.poll() is not None:
            break
        if what == "program":
            process.kill()
            process.wait()
            process = _start(mixture, out, plan)
            killed.append(f"program at {_reported(out)}")
        else:
            killed += [f"actor {number} at {_reported(out)}" for number in _kill_actor(process.pid, lot)]
    code = process.wait(timeout=LONGEST_RUN_S)
    return {"killed": killed, "exit_code": code, **count(mixture, out)}


def count(mixture: Mixture, out: Path) -> dict[str, Any]:
    """Compare what lies in a run's folder with what was laid down."""
    reports = Counter(tuple(one["inputs"]) for one in _lines(out / "reports.jsonl"))
    failures = {_name(paths_of(out, one["inputs"])[0], mixture): one["error"] for one in _lines(out / "failures.jsonl")}
    pages = len(list((out / "studies").glob("*.md")))
    good = mixture.good.total()
    right = (
        len(reports) == good == pages
        and set(reports.values()) == {1}
        and set(failures) == set(mixture.broken)
        and all(failures.values())
    )
    return {
        "studies": mixture.studies,
        "reported": len(reports),
        "reported_twice": sum(times > 1 for times in reports.values()),
        "pages": pages,
        "failed_with_reason": sum(map(bool, failures.values())),
        "failed_that_should_not": sorted(set(failures) - set(mixture.broken)),
        "states": _states(out),
        "right": right,
    }


def _states(out: Path) -> dict[str, int]:
    from assistant.ledger import Ledger

    with Ledger(out) as ledger:
        return ledger.counts()


def _start(mixture: Mixture, out: Path, plan: Plan) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(APP), "report", str(mixture.folder), "--out", str(out), *plan.options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _kill_actor(program: int, lot: random.Random) -> Iterator[int]:
    """Kill one actor that works for a program; yield its process number, or nothing where none is found."""
    actors = [number for number in _below(program) if _title(number).startswith("ray::ReportActor")]
    if actors:
        chosen = lot.choice(actors)
        with contextlib.suppress(ProcessLookupError):
            os.kill(chosen, signal.SIGKILL)
            yield chosen


def _below(program: int) -> list[int]:
    """Return the processes that a program started, and those that these started."""
    parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    found, waiting = [], [program]
    while waiting:
        one = waiting.pop()
        children = [child for child, parent in parents.items() if parent == one]
        found += children
        waiting += children
    return found


def _parent(process: Path) -> int:
    with contextlib.suppress(OSError):
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _title(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    return ""


def _reported(out: Path) -> int:
    path = out / "reports.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _name(path: str, mixture: Mixture) -> str:
    """Return the first part of a path inside the mixture's folder."""
    return Path(os.path.abspath(path)).relative_to(mixture.folder.resolve()).parts[0]


def _lines(path: Path) -> Sequence[dict[str, Any]]:
    if not path.exists():  # a program that ended at once wrote none: nothing was reported, and the result says so
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
