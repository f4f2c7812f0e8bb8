"""What templates, checks and priors bring: `python -m benchmarks.report_quality`, on phantoms whose truth is known.

Phantoms come with the header that a DICOM file would have. Measured: findings of the reports without and with an
indication, whether critical findings are marked, whether confidence and checks tell right reports from wrong ones, and
whether the comparison says what has changed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistant.ending import run_command

if TYPE_CHECKING:
    from assistant.chat import MedicalAssistant
    from assistant.conversation import Report
    from data_recipes.phantom import Phantom

SEED = 990017
"""Of the phantoms; none of this series is trained on."""
CRITICAL = {"chest_xray": "pneumothorax", "head_ct": "hemorrhage", "brain_mr": "ring-enhancing lesion"}
"""Kind of phantom to its finding that stands on the list of the template for it."""
INDICATIONS = ("Cough and fever for three days.", "Fall from a ladder, headache.", "Follow-up.", "Routine check.",
               "Known lung cancer, staging.", "Rule out hemorrhage.", "Abdominal pain.")  # fmt: skip
HISTORIES = ("Known nodule in the left lung, smoker.", "Previous pneumothorax on the right.", "Hypertension.",
             "Mass resected last year.")  # fmt: skip
CHANGED = {"larger": "larger", "smaller": "smaller", "new": "is new", "resolved": "resolved", "unchanged": "unchanged",
           "nothing": "no finding was read"}  # fmt: skip
"""What has become of a finding, and the words of a comparison for it."""


@dataclass(frozen=True)
class Judged:
    """One report held against the truth."""

    phantom: Phantom
    report: Report
    said: set[tuple[str, str | None, str | None]]
    truth: set[tuple[str, str | None, str | None]]

    @property
    def right(self) -> bool:
        """Whether it names all that is there, in its place, and nothing else."""
        return self.said == self.truth and not self.report.abstained


def draft(assistant: MedicalAssistant, phantoms: Sequence[tuple[Phantom | None, Phantom]], told: str) -> list[Judged]:
    """Report on phantoms.

    Args:
        assistant: drafts.
        phantoms: prior, None for none, and present.
        told: "nothing", a "short" indication, or a "long" one of five sentences.
    Returns:
        One for each, in order.
    """
    from assistant.conversation import ReportRequest
    from assistant.imaging.picture import Picture
    from assistant.prompts import render_report
    from data_recipes.phantom_reports import report_findings

    def picture(phantom: Phantom) -> Picture:
        view = "PA" if phantom.kind == "chest_xray" else "axial" if phantom.kind != "abdomen_us" else None
        return Picture(phantom.pixels, modality=phantom.modality, anatomy=phantom.anatomy, view=view)

    lot = random.Random(SEED)
    requests = []
    for prior, present in phantoms:
        words = {
            "nothing": None,
            "short": lot.choice(INDICATIONS),
            "long": " ".join(lot.sample(INDICATIONS + HISTORIES, 5)),
        }[told]
        before = (picture(prior),) if prior is not None else ()
        requests.append(ReportRequest((picture(present),), before, words))
    judged = []
    for (_, present), report in zip(phantoms, assistant.reports(requests), strict=True):
        truth = {(one.name, one.side, one.zone) for one in present.findings}
        judged.append(Judged(present, report, report_findings(render_report(report.sections)), truth))
    return judged


def f1(judged: Sequence[Judged]) -> float:
    """Return the F1 of findings with side and zone."""
    hits = sum(len(one.said & one.truth) for one in judged)
    named = sum(len(one.said) + len(one.truth) for one in judged)
    return round(2 * hits / max(1, named), 3)


def auroc(right: Sequence[float], wrong: Sequence[float]) -> float | None:
    """Return the chance that a right report scores above a wrong one; None without either."""
    pairs = [(one > other) + 0.5 * (one == other) for one in right for other in wrong]
    return round(sum(pairs) / len(pairs), 3) if pairs else None


def measure(model_name: str, count: int) -> dict[str, Any]:
    """Measure all.

    Args:
        model_name: `starter` or a model folder.
        count: phantoms; a quarter as many pairs with a prior.
    Returns:
        Shares, and seconds of CPU time a report with and without checks.
    """
    from assistant.chat import MedicalAssistant
    from assistant.config import GenerationConfig
    from assistant.model.load import load_model
    from data_recipes.phantom import make_phantom, with_prior

    model = load_model(model_name)
    plain = MedicalAssistant(model, None, GenerationConfig(check_reports=False))
    checked = MedicalAssistant(model, None, GenerationConfig())
    single = [(None, make_phantom(SEED, index)) for index in range(count)]
    lot = random.Random(SEED)
    pairs = [with_prior(make_phantom(SEED + 1, index), lot) for index in range(max(1, count // 4))]
    draft(plain, single[:4], "nothing")  # what is loaded on first use is loaded now
    seconds = {}
    started = time.process_time()
    without = draft(plain, single, "nothing")
    seconds["without_checks"] = round((time.process_time() - started) / count, 4)
    started = time.process_time()
    base = draft(checked, single, "nothing")
    seconds["with_checks"] = round((time.process_time() - started) / count, 4)
    reading = MedicalAssistant(_reading(model), None, GenerationConfig(check_reports=False))
    compared = draft(plain, pairs, "nothing")
    return {
        "model": model.name,
        "phantoms": count,
        "findings_f1": f1(base),
        "findings_f1_same_without_checks": f1(without) == f1(base),
        "findings_f1_reading_a_short_indication": f1(draft(reading, single, "short")),
        "findings_f1_reading_five_sentences": f1(draft(reading, single, "long")),
        "templates": dict(Counter(one.report.template.name for one in base if one.report.template)),
        "critical": _critical(base),
        "confidence_auroc": auroc(
            [one.report.confidence for one in base if one.right],
            [one.report.confidence for one in base if not one.right],
        ),
        "doubts": _doubts(base),
        "comparisons": _comparisons(compared),
        "cpu_s_a_report": seconds,
    }


def _reading(model: Any) -> Any:
    """Return the model with a contract that lets it read indications."""
    from dataclasses import replace

    contract = model.contract.replace(capabilities={**model.contract.capabilities, "indication": "yes"})
    return replace(model, contract=contract)


def _critical(judged: Sequence[Judged]) -> dict[str, float | int]:
    """Return how many critical findings there are, how many are marked, and how many marks are right."""
    there = marked = both = 0
    for one in judged:
        name = CRITICAL.get(one.phantom.kind)
        if name is None:
            continue
        is_there = any(finding.name == name for finding in one.phantom.findings)
        is_marked = any(name in mark.finding for mark in one.report.critical)
        there, marked, both = there + is_there, marked + is_marked, both + (is_there and is_marked)
    return {"there": there, "recall": round(both / max(1, there), 3), "precision": round(both / max(1, marked), 3)}


def _doubts(judged: Sequence[Judged]) -> dict[str, float | int]:
    """Return how many reports are wrong, which share of them a doubt marks, and which share of the right ones."""
    wrong = [bool(one.report.doubts) for one in judged if not one.right]
    right = [bool(one.report.doubts) for one in judged if one.right]
    calm = [one.right for one in judged if not one.report.doubts]
    return {
        "wrong": len(wrong),
        "of_wrong_ones": round(sum(wrong) / max(1, len(wrong)), 3),
        "of_right_ones": round(sum(right) / max(1, len(right)), 3),
        "wrong_without_a_doubt": round(1 - sum(calm) / max(1, len(calm)), 3),
    }


def _comparisons(judged: Sequence[Judged]) -> dict[str, Any]:
    """Return which share of pairs has a comparison that says what has become of the finding, and for each change."""
    by: dict[str, list[bool]] = {}
    called_unchanged: list[bool] = []
    for one in judged:
        note = one.phantom.truth["change"]
        change = note["change"] if note["finding"] is not None else "nothing"
        told = _about(note["finding"], one.report.sections.get("comparison", ""))
        right = any(CHANGED[change] in sentence for sentence in told)
        by.setdefault(change, []).append(right)
        if any(CHANGED["unchanged"] in sentence for sentence in told):
            called_unchanged.append(change == "unchanged")
    rights = [right for found in by.values() for right in found]
    return {
        "pairs": len(judged),
        "right": round(sum(rights) / max(1, len(rights)), 3),
        "by_change": {name: f"{sum(found)} of {len(found)}" for name, found in sorted(by.items())},
        "unchanged_is_right": f"{sum(called_unchanged)} of {len(called_unchanged)}",
    }


def _about(finding: str | None, comparison: str) -> list[str]:
    """Return the sentences about a finding, in small letters; all of them where there is none."""
    from assistant.finding_names import named_findings
    from assistant.words import sentences

    found = [one.lower() for one in sentences(comparison)]
    wanted = {name for _, _, name in named_findings(finding or "")}
    return [one for one in found if not wanted or wanted & {name for _, _, name in named_findings(one)}]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the result goes to standard output as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_quality", description=__doc__)
    parser.add_argument("--model", default="starter", help="starter or a model folder (default: starter)")
    parser.add_argument("--count", type=int, default=600, help="phantoms (default: 600)")
    args = parser.parse_args(argv)
    sys.stdout.write(json.dumps(measure(args.model, max(4, args.count)), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
