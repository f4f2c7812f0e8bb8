"""The benchmark suite: `python -m benchmarks.run [NAME…] [--json] [--device cuda] [--write docs/benchmarks.md]`.

Every row times this project's way against another, side by side, behind a gate that the result must pass. Without
names all rows of the device run. The exit code is 1 when a gate is not kept; a ratio that is missed is told and does
not fail.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from assistant.ending import run_command
from benchmarks.suite import SETTINGS, Measured, machine_line

ROWS: dict[str, str] = {
    "sft_step": "benchmarks.training_rows:sft_step",
    "dpo_step": "benchmarks.training_rows:dpo_step",
    "worklist": "benchmarks.worklist_throughput:worklist",
    "embed_image": "benchmarks.encoding_rows:embed_image",
    "embed_text": "benchmarks.encoding_rows:embed_text",
    "retrieve_1e5": "benchmarks.retrieval_rows:retrieve_1e5",
    "retrieve_1e6": "benchmarks.retrieval_rows:retrieve_1e6",
    "rag_restart": "benchmarks.retrieval_rows:rag_restart",
    "dicom_load": "benchmarks.loading_rows:dicom_load",
    "jpeg_load": "benchmarks.loading_rows:jpeg_load",
    "cli_help": "benchmarks.startup_rows:cli_help",
    "chat_ready": "benchmarks.startup_rows:chat_ready",
    "resume": "benchmarks.run_rows:resume",
    "scale_images": "benchmarks.run_rows:scale_images",
    "scale_vectors": "benchmarks.run_rows:scale_vectors",
    "vqa_exact": "benchmarks.engine_rows:vqa_exact",
    "vqa_fast": "benchmarks.engine_rows:vqa_fast",
    "vqa_varlen": "benchmarks.engine_rows:vqa_varlen",
    "decode_attention": "benchmarks.engine_rows:decode_row",
    "scale_clients": "benchmarks.engine_scale:scale_clients",
    "gpu_decode": "benchmarks.gpu_rows:gpu_decode",
    "gpu_batch": "benchmarks.gpu_rows:gpu_batch",
    "gpu_encoder": "benchmarks.gpu_rows:gpu_encoder",
    "gpu_sft": "benchmarks.gpu_rows:gpu_sft",
}
"""Name of a row → `module:function` that measures it: given the device's name, it returns its lines."""

ON_GPU = ("gpu_decode", "gpu_batch", "gpu_encoder", "gpu_sft", "vqa_exact", "vqa_varlen")
"""What runs on a GPU where no names are given."""


def usual(device: str) -> list[str]:
    """Return the rows that run where no names are given: those of the device."""
    return list(ON_GPU) if device == "cuda" else [name for name in ROWS if not name.startswith("gpu_")]


def measure(name: str, device: str) -> Sequence[Measured]:
    """Run one row.

    Args:
        name: of `ROWS`.
        device: "cpu" or "cuda".
    Returns:
        Its lines.
    """
    module, function = ROWS[name].split(":")
    run: Callable[[str], Sequence[Measured]] = getattr(importlib.import_module(module), function)
    return run(device)


def line(one: Measured) -> str:
    """Return a line of the table."""
    share = "" if one.limit is None else f"{100 * one.limit:.0f} %"
    asked = "" if one.wanted is None else f"{one.wanted:g}×"
    cells = (
        one.name,
        one.peer,
        _milliseconds(one.theirs),
        _milliseconds(one.ours),
        f"{one.ratio:.1f}×",
        asked,
        share,
        f"{'kept' if one.kept else 'BROKEN'}: {one.gate}",
        one.note,
    )
    return f"| {' | '.join(cells)} |"


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.2f}" if seconds >= 1e-5 else f"{1e3 * seconds:.2e}"


HEAD = """| row | against | theirs, ms | ours, ms | ratio | asked | of the limit | gate | note |
|---|---|---|---|---|---|---|---|---|"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes those of the process.
    Returns:
        0, or 1 when a gate is not kept.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ROWS)} (default: those of the device)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, in place of the table")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the model runs (default: cpu)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="turns that count (default: 5)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that a row runs; no figures to quote")
    parser.add_argument("--cpu-time", action="store_true", help="time in this process's CPU seconds, on a busy machine")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the lines into this page's table of results")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}; use 1 or more")
    if options.write is not None and not options.write.is_file():
        parser.error(f"--write names {options.write}, which is no file")
    SETTINGS.repeats, SETTINGS.quick = options.repeats, options.quick
    if options.cpu_time:
        SETTINGS.clock = time.process_time
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            parser.error(f"--device is cuda, but torch {torch.__version__} sees no GPU; use cpu")
    unknown = [name for name in options.names if name not in ROWS]
    if unknown:
        parser.error(f"no row is named {', '.join(unknown)}; there are {', '.join(ROWS)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    machine = machine_line() + (", CPU time" if options.cpu_time else "")
    sizes = ", quick sizes" if options.quick else ""
    print(json.dumps({"machine": machine + sizes}) if options.json else f"{machine}{sizes}\n\n{HEAD}", flush=True)
    kept, lines = True, []
    for name in options.names or usual(options.device):
        for one in measure(name, options.device):
            kept = kept and one.kept
            lines.append(line(one))
            extra = {"ratio": one.ratio, "reached": one.reached}
            print(json.dumps({**asdict(one), **extra}) if options.json else line(one), flush=True)
    if options.write is not None:
        write_results(options.write, lines, machine + sizes)
    return 0 if kept else 1


def write_results(page: Path, lines: Sequence[str], machine: str) -> None:
    """Put lines into the table of a page, in the place of those of the same names; the others stay.

    Args:
        page: Markdown, with `<!-- results -->` before and `<!-- /results -->` after the table.
        lines: of the table.
        machine: what they were measured on; it becomes the last column.
    Raises:
        SystemExit: the page has no such place.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition("<!-- results -->\n")
    table, end, after = rest.partition("<!-- /results -->")
    if not (begin and end):
        raise SystemExit(f"{page} has no <!-- results --> and <!-- /results -->; nothing was written.")
    found = {_name(one): one for one in table.splitlines()[3:] if one.startswith("| ")}
    found |= {_name(one): f"{one} {machine} |" for one in lines}
    first, rule = HEAD.splitlines()
    head = f"\n{first} machine |\n{rule}---|\n"
    body = "".join(f"{one}\n" for one in found.values())
    page.write_text(f"{before}{begin}{head}{body}\n{end}{after}", encoding="utf-8")


def _name(row: str) -> str:
    return row.split("|")[1].strip()


if __name__ == "__main__":
    raise SystemExit(run_command(main))
