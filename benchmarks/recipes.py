"""How fast public text sets convert, and in how much memory: `python -m benchmarks.recipes --records 1000000`.

Writes files of invented records in the true layouts, converts each in a process of its own, and prints a table:
records a second, records a second of CPU time (the same on a busy machine), and the process's peak memory, for a tenth
of the records and for all. Memory that hardly grows from one to the other is what is wanted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from assistant.ending import run_command

WORDS = (
    "patient",
    "presents",
    "with",
    "acute",
    "chronic",
    "fever",
    "of",
    "the",
    "left",
    "right",
    "lung",
    "most",
    "likely",
)


def text(rng: random.Random, words: int) -> str:
    """Return so many words."""
    return " ".join(rng.choices(WORDS, k=words))


def medqa(rng: random.Random, number: int) -> dict[str, Any]:
    """Return a record of `train.jsonl`."""
    options = {letter: f"{text(rng, 4)} {letter}" for letter in "ABCD"}
    return {"question": text(rng, 110), "options": options, "answer": options["B"], "answer_idx": "B"}


def medmcqa(rng: random.Random, number: int) -> dict[str, Any]:
    """Return a record of `train.json`."""
    options = {f"op{letter}": f"{text(rng, 3)} {letter}" for letter in "abcd"}
    return {"id": f"q{number}", "question": text(rng, 20), **options, "cop": number % 4 + 1, "exp": text(rng, 60)}


def ultramedical(rng: random.Random, number: int) -> dict[str, Any]:
    """Return a record of an array of dialogues."""
    turns = [{"from": "human", "value": text(rng, 110)}, {"from": "gpt", "value": text(rng, 200)}]
    return {"id": f"MedQA,{number}", "type": "Exam", "conversations": turns, "answer": "A"}


def preference(rng: random.Random, number: int) -> dict[str, Any]:
    """Return a record of an array of pairs."""
    asked = {"role": "user", "content": text(rng, 110)}
    pair = {
        name: [asked, {"role": "assistant", "content": f"{text(rng, 150)} {name}"}] for name in ("chosen", "rejected")
    }
    return {"prompt_id": f"p{number}", "label_type": "length", "prompt": asked["content"], **pair}


def lines(records: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield one record a line."""
    return (json.dumps(record) + "\n" for record in records)


def one_line(records: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield an array that stands in a single line, as large sets often have it."""
    yield "["
    for number, record in enumerate(records):
        yield (", " if number else "") + json.dumps(record)
    yield "]"


Make = Callable[[random.Random, int], dict[str, Any]]
Layout = Callable[[Iterator[dict[str, Any]]], Iterator[str]]
SETS: dict[str, tuple[str, Make, Layout]] = {
    "medqa": ("train.jsonl", medqa, lines),
    "medmcqa": ("train.json", medmcqa, lines),
    "ultramedical": ("ultramedical.json", ultramedical, one_line),
    "ultramedical-preference": ("preference.json", preference, one_line),
}


def convert(name: str, records: int, folder: Path) -> tuple[float, float, float]:
    """Convert a set in a process of its own; return records a second, records a CPU second, and peak memory in MB."""
    file, make, layout = SETS[name]
    source, out = folder / "in", folder / "out"
    source.mkdir()
    rng = random.Random(0)
    with (source / file).open("w", encoding="utf-8") as stream:
        stream.writelines(layout(make(rng, number) for number in range(records)))
    command = [sys.executable, "-m", "data_recipes.build", name, "--source", str(source), "--out", str(out)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    shutil.rmtree(source)
    shutil.rmtree(out)
    return records / seconds, records / (usage.ru_utime + usage.ru_stime), usage.ru_maxrss / 1024


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes those of the process.
    Returns:
        Exit code 0.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description="Speed and memory of the recipes")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SETS)} (default: all)")
    parser.add_argument("--records", type=int, default=1_000_000, metavar="N", help="of each set (default 1000000)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="for the files, 4 KB a record (default: temporary)")
    options = parser.parse_args(arguments)
    print("| set | records | records/s | records/CPU s | peak memory, MB |\n|---|---|---|---|---|")
    for name in options.names or SETS:
        for records in (max(1, options.records // 10), options.records):
            with tempfile.TemporaryDirectory(dir=options.work) as folder:
                speed, of_cpu, memory = convert(name, records, Path(folder))
            print(f"| {name} | {records:,} | {speed:,.0f} | {of_cpu:,.0f} | {memory:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
