"""Writes a model card from a model's contract and its measured scores; nothing in it is typed by hand.

The first part is for a reader in a hurry: what it knows and how well. Limits follow from the scores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.ending import in_words, run_command
from assistant.errors import AssistantError, DataError
from assistant.model.contract import Contract
from training.evaluation.table import highlights_table, markdown_table, percent

WEAK = 0.1
"""A closed score less than this above always giving the commonest answer is named among the limits."""
FEW = 50
"""A score of fewer questions is named there too."""


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a `metrics.json`.

    Args:
        path: of the file.

    Returns:
        Its content.

    Raises:
        DataError: it cannot be read, or was not written by training.evaluate.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}). Make it: python -m training.evaluate") from error
    missing = [name for name in ("model", "data", "overall", "highlights") if name not in metrics]
    if missing:
        raise DataError(f"{path} has no {', '.join(missing)}. Make it again: python -m training.evaluate")
    return dict(metrics)


def render_card(contract: Contract, fingerprint: str, measured: Sequence[Mapping[str, Any]], weights_mb: float) -> str:
    """Return the card.

    Args:
        contract: of the model.
        fingerprint: of the model.
        measured: the content of one or more metrics files.
        weights_mb: size of the folder.

    Returns:
        Markdown with a front matter that model hubs read.

    Raises:
        DataError: a metrics file is about another model.
    """
    for one in measured:
        if one["model"]["fingerprint"] != fingerprint:
            raise DataError(
                f"The metrics are of model {one['model']['fingerprint']}, but the folder holds {fingerprint}. "
                "Measure it again: python -m training.evaluate"
            )
    parts = [
        f"---\nlicense: {contract.licence.lower()}\npipeline_tag: image-text-to-text\ntags:\n- medical\n---\n",
        f"# {contract.name}\n",
        f"**{NOT_FOR_CLINICAL_USE}**\n",
        _what(contract, fingerprint, weights_mb),
        "## What it knows, and how well\n",
        _scores(measured),
        "## Does it look at the image?\n",
        _verdicts(measured),
        "## Confidence and abstention\n",
        _confidence(contract, measured),
        "## Limits\n",
        _limits(measured),
        "## Data and licences\n",
        "".join(f"- {line}\n" for line in contract.training_data) or "Not stated.\n",
        "## How to make and measure it again\n",
        _again(contract, measured),
    ]
    return "\n".join(part for part in parts if part)


def _what(contract: Contract, fingerprint: str, weights_mb: float) -> str:
    rows = [
        ("Fingerprint", fingerprint),
        ("Made", contract.created),
        ("Licence of the weights", contract.licence),
        ("Size on disk", f"{weights_mb:.1f} MB"),
        ("Image", f"{contract.image_size} x {contract.image_size} pixels, padded with black to a square"),
        *_views(contract),
        ("Tokens of one image", str(contract.image_tokens)),
        ("Connector", f"{contract.connector}, {' to '.join(map(str, contract.connector_shape))}"),
        ("Image and text embeddings", f"{contract.embedding_dim} dimensions, encoder {contract.encoder}"),
        ("Vocabulary", f"{contract.vocabulary} tokens"),
    ]
    return (
        "A vision-language model for medical images: a ViT tower shaped like BiomedCLIP's, a connector and a language "
        "model, in Hugging Face's Llava format.\n\n" + markdown_table(("", ""), rows)
    )


def _views(contract: Contract) -> list[tuple[str, str]]:
    if contract.tiles == 1:
        return []
    tiles, side = contract.tiles, contract.picture_size
    return [("Views of one image", f"the whole, and {tiles} x {tiles} tiles of {side} x {side} pixels")]


def _scores(measured: Sequence[Mapping[str, Any]]) -> str:
    alone = len(measured) == 1
    tables = [("" if alone else f"On {_files(one)}:\n\n") + highlights_table(one["highlights"]) for one in measured]
    notes = [
        f"- {_files(one)}: {one['data']['examples']} examples on "
        f"{one['data']['images']} images of {', '.join(one['data']['sources'])} "
        f"(sha256 {', '.join(file['sha256'] for file in one['data']['files'])}), {one['date']}."
        for one in measured
    ]
    overall = [
        (
            _files(one),
            str(one["overall"]["n"]),
            percent(one["overall"].get("right")),
        )
        for one in measured
    ]
    return (
        "\n".join(tables)
        + "\nAll questions together, with abstention off:\n\n"
        + markdown_table(("Data", "Questions", "Right"), overall)
        + "\nMeasured on data kept out of training. Intervals are 95 % bootstrap intervals over patients or images.\n\n"
        + "\n".join(notes)
        + "\n"
    )


def _files(one: Mapping[str, Any], between: str = ", ") -> str:
    return between.join(file["file"] for file in one["data"]["files"])


def _verdicts(measured: Sequence[Mapping[str, Any]]) -> str:
    said = [
        f"- {one['data']['files'][0]['file']}: {one['controls']['verdict']}" for one in measured if "controls" in one
    ]
    return "\n".join(said) + "\n" if said else "Not measured: evaluate with --controls.\n"


def _confidence(contract: Contract, measured: Sequence[Mapping[str, Any]]) -> str:
    numbers = contract.calibration
    if not numbers:
        return "The confidence is not calibrated, and the model never abstains for being unsure.\n"
    thresholds = [
        f"{kind} answers under {numbers[f'abstain_below_{kind}']:.2f}"
        for kind in ("closed", "open", "report", "quote")
        if f"abstain_below_{kind}" in numbers
    ]
    said = "The confidence is scaled on held-out questions to be the probability of being right. "
    said += f"It abstains on {', '.join(thresholds)}" if thresholds else "It does not abstain for being unsure"
    if "ood_distance" in numbers:
        said += f", and on images further than {numbers['ood_distance']:.2f} from the known kinds, "
        said += "each of which holds nine in ten of its own training images within 1"
    rows = []
    for one in measured:
        given, sure = one["overall"]["assistant"], one["overall"].get("calibration", {})
        rows.append(
            (
                one["data"]["files"][0]["file"],
                percent(given["coverage"]),
                percent(given.get("selective_accuracy")),
                percent(given.get("accuracy_of_withheld")),
                f"{sure['ece']:.3f}" if sure else "-",
            )
        )
    header = ("Data", "Answered", "Right, of the answered", "Right, of the withheld", "Calibration error (ECE)")
    note = (
        "\nWhere the scaling was fitted on the same questions, the calibration error is flattered a little; "
        "`training.calibrate` prints the cross-fitted one.\n"
    )
    return f"{said}.\n\n{markdown_table(header, rows)}{note}"


def _limits(measured: Sequence[Mapping[str, Any]]) -> str:
    weak = [
        f"- {row['name']}: hardly better than always giving the commonest answer "
        f"({100 * row['value']:.0f} % against {100 * row['commonest_answer']:.0f} %). Do not rely on it."
        for one in measured
        for row in one["highlights"]
        if row["value"] < row.get("commonest_answer", -1.0) + WEAK
        and row.get("commonest_answer", 1.0) < 1 - WEAK
    ]  # fmt: skip
    few = [f"{row['name']} ({row['n']})" for one in measured for row in one["highlights"] if row["n"] < FEW]
    scarce = [f"- Measured on few questions, so that the score is rough: {'; '.join(few)}."] if few else []
    general = [
        f"- {NOT_FOR_CLINICAL_USE}",
        "- It knows the kinds of image and the findings of its training data and no others. What no score above names "
        "was not measured.",
        "- Its images are small: what is a few pixels wide at its image size is not seen. Lengths in millimetres are "
        "estimates learnt from drawn phantoms.",
        "- Most of its labels were not checked by a clinician, sources without patient identities may hold one patient "
        "in training and in measurement, and a class may be told by the look of its source.",
        "- It is not for triage, screening, or any decision on a patient.",
    ]
    return "\n".join([*general, *weak, *scarce]) + "\n"


def _again(contract: Contract, measured: Sequence[Mapping[str, Any]]) -> str:
    places = [f"DIR{number}" for number, _ in enumerate(measured, start=1)] if len(measured) > 1 else ["DIR"]
    evaluated = "".join(
        f"python -m training.evaluate --model MODEL --data {_files(one, ' ') or 'FILE.jsonl'}"
        f"{' --controls' if 'controls' in one else ''}"
        f"{f' --limit {limit}' if (limit := one.get('settings', {}).get('limit')) else ''} --out {place}\n"
        for place, one in zip(places, measured, strict=True)
    )
    packages = ", ".join(f"{name} {number}" for name, number in measured[0]["versions"].items())
    return (
        "```\n"
        "python -m training.starter --data DIR --out DIR        # all stages, from data to this card\n"
        f"{evaluated}"
        f"python -m training.card --model MODEL --metrics {' '.join(f'{one}/metrics.json' for one in places)} "
        "--out README.md\n"
        "```\n\n"
        f"Prompts of version {contract.prompt_version}. Measured with {packages}.\n"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or input that must be mended."""
    parser = argparse.ArgumentParser(prog="python -m training.card", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--metrics", type=Path, required=True, nargs="+", help="metrics.json of training.evaluate")
    parser.add_argument("--out", type=Path, required=True, metavar="README.md", help="file to write")
    arguments = parser.parse_args(argv)
    try:
        from assistant.model.load import folder_fingerprint

        contract = Contract.read(arguments.model)
        measured = [read_metrics(path) for path in arguments.metrics]
        size = sum(path.stat().st_size for path in arguments.model.rglob("*") if path.is_file()) / 1e6
        text = render_card(contract, folder_fingerprint(arguments.model), measured, size)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        partial = arguments.out.with_name(arguments.out.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, arguments.out)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    sys.stdout.write(f"Written: {arguments.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
