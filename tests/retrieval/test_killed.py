"""SIGKILL at every point of a build, an add and a delete: what was served before is served after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RECORD = {"source": "Book", "licence": "CC0-1.0"}
OLD = [f"old-{number}" for number in range(3)]
NEW = [f"new-{number}" for number in range(3)]
AFTER = {"build": NEW, "add": sorted(OLD + NEW), "delete": OLD[1:]}


@pytest.fixture
def corpora(tmp_path):
    for name, ids in (("old", OLD), ("new", NEW)):
        (tmp_path / name).mkdir()
        lines = (
            {**RECORD, "id": one, "title": f"Effusion {one}", "text": f"A pleural effusion is fluid, case {one}."}
            for one in ids
        )
        (tmp_path / name / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def outcomes(action, corpora, how, step):
    script = Path(__file__).parent / "killing.py"
    root = Path(__file__).resolve().parents[2]
    work = corpora / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, str(script), action, str(work), str(corpora), how, str(step)],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("action", "how", "step"),
    [("add", "exchange", 1), ("add", "plain", 2), ("build", "exchange", 3), ("delete", "plain", 3)],
)
def test_a_kill_at_any_point_leaves_the_old_index_or_the_new_one_serving(action, how, step, corpora):
    found = outcomes(action, corpora, how, step)
    killed = [one for one in found if one["killed"]]
    assert len(killed) >= 8
    assert {tuple(one["after"]) for one in killed} <= {tuple(OLD), tuple(AFTER[action])}
    assert killed[0]["after"] == OLD
    assert all(one["again"] == AFTER[action] for one in found)
    assert all(one["left"] == ["index"] for one in found), "a staging folder was left behind"
