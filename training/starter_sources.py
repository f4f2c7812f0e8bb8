"""What the starter is made of: which passages there are, and the lines of its card on where everything comes from."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from assistant.json_lines import write_atomically

RECIPES = Path(__file__).parent / "recipes"
PHANTOMS = 40_000
HELD_OUT = 2_400
SMALL_FINDINGS = ("head_ct", "chest_xray")
"""Kinds of phantom whose findings can be a few pixels wide."""
EXAMPLE_SEED = 2_500_000


def passage_files(data: Path) -> list[Path]:
    """Return those of the passages that the encoder's recipe names which lie in the manifest folder's `text`."""
    from training.contrast import ContrastSettings
    from training.recipe import load_recipe

    named = load_recipe(ContrastSettings, RECIPES / "starter_contrast.yaml").passages
    return [data / "text" / path.name for path in named if (data / "text" / path.name).is_file()]


def modalities(data: Path) -> set[str]:
    """Return the modalities that a manifest folder trains on."""
    with (data / "manifest.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return {str(one["modality"]) for one in records if one.get("split") == "train" and one.get("modality")}


def training_data(data: Path) -> tuple[str, ...]:
    """Return one line for each source of a manifest folder that is trained on, with its licence, for the model card.

    Args:
        data: folder with `manifest.jsonl`, and `text/*.jsonl` whose passages name source and licence.
    Returns:
        Images by source, then passages by file, then what the project brings itself.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    with (data / "manifest.jsonl").open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if record.get("split") == "train":
                counts[(record["source"], record["licence"], record.get("attribution") or "")] += 1
    found = [
        f"{source}: {number} images, {licence}{f'; {credit}' if credit else ''}"
        for (source, licence, credit), number in sorted(counts.items())
    ]
    for path in passage_files(data):
        with path.open(encoding="utf-8") as lines:
            first = json.loads(next(lines))
            number = 1 + sum(1 for _ in lines)
        found.append(
            f"{first.get('source', path.stem)}: {number} passages, {first.get('licence', 'licence not stated')}"
        )
    return (*found, f"phantoms: {PHANTOMS} drawn images, CC0-1.0", "knowledge cards of this project, Apache-2.0")


def reports_to_train(file: Path) -> None:
    """Write the reports among training examples to files of their own, which a recipe can weigh.

    Args:
        file: for all of them, to write beside `train.jsonl`. Those on kinds of picture with small findings, which are
            missed most, go to `reports_small.jsonl` first.
    """
    reports = _reports(file.with_name("train.jsonl"))
    small = [line for line in reports if json.loads(line)["truth"]["kind"] in SMALL_FINDINGS]
    write_atomically(file.with_name("reports_small.jsonl"), "".join(small))
    write_atomically(file, "".join(reports))


def all_reports(folder: Path) -> None:
    """Write the reports of all splits of a folder to one file, where none of them is trained on.

    Args:
        folder: made by `data_recipes.build`; gets `reports.jsonl`.
    """
    splits = (folder / f"{split}.jsonl" for split in ("train", "dev", "test"))
    write_atomically(folder / "reports.jsonl", "".join(line for file in splits for line in _reports(file)))


def _reports(file: Path) -> list[str]:
    with file.open(encoding="utf-8") as lines:
        return [line for line in lines if json.loads(line).get("task") == "report"]


def draw_examples(folder: Path) -> None:
    """Draw one phantom of each kind, for the page to offer; of a series that is never trained on.

    Args:
        folder: made whole, or not at all.
    """
    from PIL import Image

    from data_recipes.phantom import make_phantom
    from data_recipes.phantom_findings import KINDS

    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        numbers = (make_phantom(EXAMPLE_SEED, number, size=256, kind=kind, site="A") for number in range(50))
        shown = next(one for one in numbers if len(one.findings) == 1)
        Image.fromarray(shown.pixels).save(partial / f"{kind.replace('_', '-')}.png")
    partial.rename(folder)
