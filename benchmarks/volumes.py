"""Is a lesion on one slice of a volume reported with that slice? `python -m benchmarks.volumes`, on phantom volumes.

Each volume is written as a DICOM series or as NIfTI, read back, and reported. A hit: the slice that the report puts
first is one that shows the lesion. Chance is the share of slices that would be a hit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.ending import run_command

SEED = 990002
"""Of the volumes; none of this series is trained on."""


def measure(model_name: str, count: int, slices: int, thickness: int, choice: str, work: Path) -> dict[str, Any]:
    """Report on volumes and compare with the truth.

    Args:
        model_name: `starter` or a model folder.
        count: volumes.
        slices: of each volume.
        thickness: slices that show the lesion.
        choice: how slices are chosen, see `GenerationConfig.slice_choice`.
        work: folder for the files.
    Returns:
        Shares of hits, of named findings among the reports, and times.
    """
    from assistant.chat import MedicalAssistant
    from assistant.config import GenerationConfig
    from assistant.conversation import Question, ReportRequest
    from assistant.imaging.images import load_images
    from assistant.model.load import load_model
    from data_recipes.phantom_volume import make_phantom_volume, write_nifti, write_series

    assistant = MedicalAssistant(load_model(model_name), None, GenerationConfig(slice_choice=choice, abstain_below=0.0))
    rows: list[dict[str, Any]] = []
    for index in range(count):
        phantom = make_phantom_volume(SEED, index, slices=slices, thickness=thickness)
        assert phantom.finding is not None
        form = "NIfTI" if index % 2 else "DICOM"
        path = work / f"{index}.nii.gz" if index % 2 else work / str(index)
        if index % 2:
            write_nifti(phantom, path)
        else:
            write_series(phantom, path)
        started = time.perf_counter()
        pictures = load_images(path, window="brain" if phantom.kind == "head_ct" else None)
        read = time.perf_counter()
        report = assistant.report(ReportRequest(pictures))
        reported = time.perf_counter()
        answer = assistant.answer(Question("Which abnormality is seen?", pictures))
        text = " ".join(report.sections.values()).lower()
        near = report.slices[0].section
        rows.append(
            {
                "form": form,
                "kind": phantom.kind,
                "finding": phantom.finding.name,
                "hit": near.number in phantom.truth["slices"],
                "exact_mm": min(abs(near.position_mm - mm) for mm in phantom.truth["positions_mm"]) < 0.01,
                "asked": answer.slices[0].section.number in phantom.truth["slices"],
                "named": phantom.finding.name in text,
                "abstained": report.abstained,
                "read": read - started,
                "report": reported - read,
            }
        )
    return _summary(rows, assistant.model.name, thickness / slices)


def _summary(rows: list[dict[str, Any]], model: str, chance: float) -> dict[str, Any]:
    """Return shares and median times."""

    def share(name: str, chosen: Sequence[dict[str, Any]]) -> float:
        return round(sum(bool(row[name]) for row in chosen) / max(1, len(chosen)), 3)

    groups = {(key, row[key]) for row in rows for key in ("form", "kind", "finding")}
    return {
        "model": model,
        "volumes": len(rows),
        "reported_with_the_slice": share("hit", rows),
        "with_its_position": share("exact_mm", rows),
        "asked_with_the_slice": share("asked", rows),
        "chance": round(chance, 3),
        "finding_named": share("named", rows),
        "abstained": share("abstained", rows),
        "by": {name: share("hit", [row for row in rows if row[key] == name]) for key, name in sorted(groups)},
        "read_s": round(sorted(row["read"] for row in rows)[len(rows) // 2], 3),
        "report_s": round(sorted(row["report"] for row in rows)[len(rows) // 2], 3),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the result goes to standard output as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.volumes", description=__doc__)
    parser.add_argument("--model", default="starter", help="starter or a model folder (default: starter)")
    parser.add_argument("--count", type=int, default=100, help="volumes (default: 100)")
    parser.add_argument("--slices", type=int, default=24, help="slices of a volume (default: 24)")
    parser.add_argument("--thickness", type=int, default=1, help="slices that show the lesion (default: 1)")
    parser.add_argument("--choice", default="auto", help="how slices are chosen (default: auto)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as work:
        result = measure(args.model, max(1, args.count), args.slices, args.thickness, args.choice, Path(work))
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
