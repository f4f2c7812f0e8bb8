"""How commands end: interrupted, with a full disk, with nobody reading on."""

from __future__ import annotations

import ast
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assistant.ending import in_words, last_words, run_command

ROOT = Path(__file__).resolve().parents[2]


def failing(error):
    def main():
        raise error

    return main


def test_a_command_that_ends_by_itself_keeps_its_exit_code():
    assert [run_command(lambda code=code: code) for code in (0, 1, 2)] == [0, 1, 2]


def test_ctrl_c_is_exit_code_130_and_one_word(capsys):
    assert run_command(failing(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "\nInterrupted.\n"


@pytest.mark.parametrize(
    ("number", "name", "message"),
    [
        (errno.ENOSPC, "out/x.bin", "error: out/x.bin: No space left on device. Free some space there, or choose"),
        (errno.EROFS, "out", "error: out: Read-only file system. Choose a place that you may read and write"),
        (errno.EACCES, "out", "error: out: Permission denied. Choose a place that you may read and write"),
        (errno.ENOSPC, None, "error: No space left on device. Free some space there"),
    ],
)
def test_what_the_system_refuses_is_told_with_the_place_and_the_mend(capsys, number, name, message):
    assert run_command(failing(OSError(number, os.strerror(number), name))) == 2
    assert capsys.readouterr().err.startswith(message)


def test_a_fault_of_the_program_is_not_hidden():
    with pytest.raises(OSError, match="Bad file"):
        run_command(failing(OSError(errno.EBADF, "Bad file descriptor")))
    with pytest.raises(ValueError, match="inside"):
        run_command(failing(ValueError("inside")))


def test_the_last_words_of_medassist_tell_a_full_disk_from_a_fault():
    told, code = last_words(OSError(errno.ENOSPC, "No space left on device", "out/reports.jsonl"))
    assert code == 2
    assert told.startswith("out/reports.jsonl: No space left on device. Free some space")
    told, code = last_words(OSError(errno.EBADF, "Bad file descriptor"))
    assert code == 1
    assert "This is a fault of the program" in told


def test_other_errors_are_told_as_they_are():
    assert in_words(ValueError("two words")) == "two words"
    assert in_words(OSError(errno.ENOENT, "No such file or directory", "gone.txt")) == (
        "gone.txt: No such file or directory."
    )


def test_every_command_ends_this_way():
    wrong = []
    for package in ("assistant", "retrieval", "data_recipes", "training", "benchmarks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            body = ast.parse(path.read_text("utf-8")).body
            if not any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in body):
                continue  # the other end of a pipe of ours, not a command
            for node in body:
                if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
                    ends = ast.unparse(node.body)
                    wrong += [] if ends == "raise SystemExit(run_command(main))" else [f"{path.name}: {ends}"]
    assert not wrong, "\n".join(wrong)


def test_ctrl_c_in_a_build_leaves_nothing_half_written(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "data_recipes.build", "phantom", "--out", str(tmp_path / "out"), "--limit", "100000"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    try:
        while not list(tmp_path.glob(".out.*/**/*.png")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        try:
            printed, told = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:  # it came while a destructor ran, where Python drops it: one presses again
            process.send_signal(signal.SIGINT)
            printed, told = process.communicate()
    finally:
        process.kill()
    assert (process.returncode, printed) == (130, "")
    assert "Traceback" not in told
    assert told.endswith("Interrupted.\n")
    assert list(tmp_path.iterdir()) == []
