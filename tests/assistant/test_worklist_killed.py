import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

from PIL import Image

import assistant
from assistant.names import paths_of

SLOW_RUN = """
    import sys, time
    from pathlib import Path
    from assistant.conversation import Report
    from assistant.imaging.load import load_picture
    from assistant.readahead import RunSettings
    from assistant.studies import collect_studies
    from assistant.worklist import run_worklist

    class Slow:
        def reports(self, requests, batch_size):
            for request in requests:
                time.sleep(0.01)
                yield Report({"findings": "x" * 20_000}, 0.5, False, (), (), "slow", "feed", 0.01)

    out = Path(sys.argv[1])
    studies = collect_studies(["images"]).studies
    run_worklist(studies, Slow(), RunSettings(out=out, model="feed", batch_size=2), load=load_picture)
"""


def test_a_run_that_is_killed_again_and_again_ends_with_each_study_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(40):
        Image.new("L", (24, 16), number).save(tmp_path / "images" / f"image{number:03d}.png")
    (tmp_path / "images" / "broken.png").write_bytes(b"no")
    out = tmp_path / "out"
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SLOW_RUN))
    root = str(Path(assistant.__file__).parent.parent)
    command = [sys.executable, str(script), str(out)]
    environment = {**os.environ, "PYTHONPATH": root}
    reports = out / "reports.jsonl"
    for number in range(3):
        process = subprocess.Popen(command, env=environment)
        wanted = reports.stat().st_size + 60_000 if reports.exists() else 1
        deadline = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < deadline:
            if reports.exists() and reports.stat().st_size >= wanted:
                break
            time.sleep(0.002 * (number + 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
    torn = reports.read_bytes()
    reports.write_bytes(torn + b'{"study": "half of a li')
    subprocess.run(command, env=environment, check=True)
    counted = Counter(one["inputs"][0] for one in lines(reports))
    assert len(counted) == 40
    assert set(counted.values()) == {1}
    assert [paths_of(out, one["inputs"]) for one in lines(out / "failures.jsonl")] == [["images/broken.png"]]
    assert len(list((out / "studies").glob("*.md"))) == 40


def test_two_runs_share_a_list_and_a_kill_of_one_loses_and_doubles_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(40):
        Image.new("L", (24, 16), number).save(tmp_path / "images" / f"image{number:03d}.png")
    out = tmp_path / "out"
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SLOW_RUN))
    command = [sys.executable, str(script), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(Path(assistant.__file__).parent.parent)}
    reports = out / "reports.jsonl"
    first, second = (subprocess.Popen(command, env=environment) for _ in range(2))
    deadline = time.monotonic() + 240
    while not (reports.exists() and reports.stat().st_size > 100_000) and time.monotonic() < deadline:
        time.sleep(0.002)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.wait() == 0
    subprocess.run(command, env=environment, check=True)
    counted = Counter(one["inputs"][0] for one in lines(reports))
    assert len(counted) == 40
    assert set(counted.values()) == {1}


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
