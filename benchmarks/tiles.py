"""What tiles bring to small findings: `python -m benchmarks.tiles`, on phantoms whose truth is known.

Two models begin from the same weights and get the same reports in the same steps: one looks at the whole picture, the
other at its tiles too. The phantoms are head CT with calcifications of 5 and 10 mm and chest X-rays with nodules of 10
and 20 mm, drawn with twice the pixels that the tower reads. Measured on others, over some seeds: which share of the
small findings is reported with name, side and zone (recall), which share of the reported ones is there (precision).
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.ending import run_command

logger = logging.getLogger("benchmarks.tiles")

SEED = 990_031
"""Of the phantoms; none of this series is trained on elsewhere."""
SMALL: dict[str, tuple[str, tuple[int, ...]]] = {
    "head_ct": ("calcification", (5, 10)),
    "chest_xray": ("nodule", (10, 20)),
}
"""Kind of phantom to its small finding and the sizes in mm."""
ARMS = {"whole": 1, "tiles": 2}
"""What is compared: tiles along a side."""
Counts = dict[str, list[int]]
"""Finding to how many are both there and reported, there, and reported."""


def draw(seed: int, index: int, size: int) -> Any:
    """Draw one phantom: three in five show small findings, the others what falls to them by lot."""
    from data_recipes.phantom import make_phantom, with_findings
    from data_recipes.phantom_findings import SIDES, Finding

    lot = random.Random(f"{seed}/{index}")
    kind = lot.choice(list(SMALL))
    phantom = make_phantom(seed, index, size=size, kind=kind)
    if lot.random() >= 0.6:
        return phantom
    name, sizes = SMALL[kind]
    zone = lot.choice(("anterior", "middle", "posterior") if kind == "head_ct" else ("upper", "middle", "lower"))
    small = Finding(name, lot.choice(SIDES), zone, lot.choice(sizes), lot.choice((1, 1, 2, 3)), lot.randrange(2**31))
    return with_findings(phantom, (small,))


def write_reports(folder: Path, count: int, seed: int, size: int) -> Path:
    """Draw phantoms with a report each.

    Args:
        folder: to make.
        count: how many.
        seed: of the phantoms.
        size: side in pixels.
    Returns:
        JSONL file of examples.
    """
    from data_recipes.phantom_recipe import phantom_examples, save
    from data_recipes.schema import write_examples

    (folder / "images").mkdir(parents=True)
    examples = []
    for index in range(count):
        phantom = draw(seed, index, size)
        save(phantom, folder / "images" / f"{index}.png")
        every = phantom_examples(phantom, (f"images/{index}.png",), random.Random(index))
        examples.append(next(one for one in every if one.task == "report"))
    write_examples(folder / "reports.jsonl", examples)
    return folder / "reports.jsonl"


def tune(model: Path, file: Path, work: Path, *, steps: int, seed: int) -> Path:
    """Tune connector and language model on reports; returns the model's folder."""
    from training.feature_settings import FeatureCacheSettings
    from training.llava import run_stage
    from training.recipe import OptimizerSettings
    from training.settings import DataPart, LlavaSettings

    settings = LlavaSettings(
        model=str(model), data=(DataPart(file),), out=work / f"{model.name}-{seed}", steps=steps, seed=seed, mirror=(),
        feature_cache=FeatureCacheSettings(work / "features"), augment=None, dropout=0.1, report_every=steps,
        average=0.98, optimizer=OptimizerSettings(name="muon", lr=6e-4, warmup_steps=20, weight_decay=0.1),
    )  # fmt: skip
    return run_stage(settings)


def judge(model: Path, file: Path) -> Counts:
    """Let a model report and count its small findings by name, side and zone.

    Args:
        model: a model folder.
        file: examples of `write_reports`.
    Returns:
        The counts.
    """
    from data_recipes.phantom_reports import report_findings
    from data_recipes.schema import read_examples
    from training.writer import Writer

    examples = list(read_examples(file))
    counts = {name: [0, 0, 0] for name, _ in SMALL.values()}
    for example, text in zip(examples, Writer(str(model)).write(examples, file.parent), strict=True):
        there = {(one["name"], one["side"], one["zone"]) for one in (example.truth or {})["findings"]}
        said = report_findings(text)
        for name, found in counts.items():
            truth, told = ({one for one in every if one[0] == name} for every in (there, said))
            for place, some in enumerate((truth & told, truth, told)):
                found[place] += len(some)
    return counts


def shares(counts: Counts) -> dict[str, float]:
    """Return recall, precision and F1 of all small findings, and recall of each."""
    both, there, said = (sum(found[place] for found in counts.values()) for place in range(3))
    told = {"recall": both / max(1, there), "precision": both / max(1, said), "f1": 2 * both / max(1, there + said)}
    told |= {f"recall of {name}s": found[0] / max(1, found[1]) for name, found in counts.items()}
    return {name: round(value, 3) for name, value in told.items()}


def bases(name: str, file: Path, work: Path) -> dict[str, Path]:
    """Write the models that the arms begin from: the given weights, without tiles and with them.

    Args:
        name: `starter` or a model folder without tiles.
        file: examples whose pictures tell how features vary.
        work: folder for the models.
    Returns:
        Arm to model folder.
    """
    from assistant.model.load import load_model
    from assistant.model.save import save_model
    from training.tiles import add_tiles

    whole = save_model(load_model(name, device="cpu", dtype="float32", quantization="none"), work / "whole")
    return {"whole": whole, "tiles": add_tiles(whole, [file], work / "tiles", tiles=ARMS["tiles"])}


def measure(name: str, work: Path, *, count: int, tested: int, steps: int, seeds: int) -> dict[str, Any]:
    """Run the experiment.

    Args:
        name: `starter` or a model folder without tiles.
        work: empty folder.
        count: phantoms to learn from.
        tested: phantoms to be judged by.
        steps: of each tuning.
        seeds: tunings of each arm.
    Returns:
        The shares before tuning, and of each arm the shares of each seed and their means.
    """
    from assistant.model.contract import Contract
    from assistant.model.load import resolve

    size = ARMS["tiles"] * Contract.read(resolve(name)).image_size
    train = write_reports(work / "train", count, SEED, size)
    test = write_reports(work / "test", tested, SEED + 1, size)
    result: dict[str, Any] = {"model": name, "phantoms": count, "tested": tested, "steps": steps, "seeds": seeds}
    arms = bases(name, train, work)
    before = judge(arms["whole"], test)
    result |= {"findings": {name: found[1] for name, found in before.items()}, "before": shares(before)}
    rows: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
    for seed in range(seeds):
        for arm, base in arms.items():
            rows[arm].append(shares(judge(tune(base, train, work, steps=steps, seed=seed), test)))
            logger.info("seed %d, %s: %s", seed, arm, rows[arm][-1])
    for arm, found in rows.items():
        result[arm] = {key: round(sum(row[key] for row in found) / seeds, 3) for key in found[0]}
        result[arm]["f1 of each seed"] = [row["f1"] for row in found]
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the result goes to standard output as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiles", description=__doc__)
    parser.add_argument("--model", default="starter", help="starter or a model folder without tiles (default: starter)")
    parser.add_argument("--count", type=int, default=1500, help="phantoms to learn from (default: 1500)")
    parser.add_argument("--tested", type=int, default=400, help="phantoms to be judged by (default: 400)")
    parser.add_argument("--steps", type=int, default=300, help="steps of each tuning (default: 300)")
    parser.add_argument("--seeds", type=int, default=3, help="tunings of each arm (default: 3)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    with tempfile.TemporaryDirectory() as work:
        result = measure(
            args.model,
            Path(work),
            count=max(20, args.count),
            tested=max(2, args.tested),
            steps=max(1, args.steps),
            seeds=max(1, args.seeds),
        )
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
