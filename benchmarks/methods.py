"""What each way of tuning brings, on phantoms whose truth is known: `python -m benchmarks.methods NAME --out DIR`.

priors      DPO on the model's own reports with and without a comparison with an examination that is not there
factuality  DPO on the model's own reports, ranked by their findings, with no human and no other model as a judge
rewards     GRPO against supervised tuning on the same 600 questions, in site and under a site shift
judging     a reward model on pairs it has not seen, against the model's own likelihood, and its pick among six reports

Each begins with a model that has the fault: the starter, tuned for some minutes on data that has it.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from assistant.ending import run_command
from benchmarks.written import ReportScore, likelier, score_answers, score_reports
from data_recipes.build import build_data
from data_recipes.schema import Example, Preference, read_examples, read_preferences, write_examples, write_preferences
from training.augment_settings import AugmentSettings
from training.best_of import Drawing, draw, find_judge, pair_of
from training.grpo_settings import GrpoSettings
from training.llava import run_stage
from training.mended import write_mended
from training.policy import run_grpo
from training.preference import run_dpo
from training.preference_settings import DpoSettings
from training.recipe import OptimizerSettings
from training.reward_model import read_card
from training.reward_settings import RewardSettings
from training.reward_trainer import run_reward
from training.rewards import finding_f1
from training.settings import DataPart, LlavaSettings
from training.writer import Writer

logger = logging.getLogger("benchmarks.methods")

PHANTOMS = 900
"""Drawn for each seed; a fifth of them is measured on."""
OTHERS = 750
"""Drawn beside, to measure on alone: on a fifth of the others a difference of 0.03 in F1 is within chance."""
STILL = AugmentSettings(**dict.fromkeys(AugmentSettings.__dataclass_fields__, 0.0))
Row = dict[str, float]


def reports_of(file: Path) -> list[Example]:
    """Return the reports of a file of phantoms that have one image."""
    return [one for one in read_examples(file) if one.task == "report" and len(one.images) == 1]


def unseen(root: Path, wanted: Callable[[Path], list[Example]]) -> list[Example]:
    """Return the examples of both files that are never trained on."""
    return [*wanted(root / "dev.jsonl"), *wanted(root / "test.jsonl")]


def phantoms(out: Path, seed: int, count: int) -> Path:
    """Draw phantoms and their preferences, unless they are there; returns the folder of the phantoms."""
    if not (out / "phantoms").exists():
        build_data("phantom", None, out / "phantoms", limit=count, seed=1000 + seed)
        build_data("preferences", out / "phantoms" / "train.jsonl", out / "pairs", seed=seed)
    return out / "phantoms"


def tune(model: str, file: Path, out: Path, *, steps: int, lr: float, seed: int, questions: int = 1) -> str:
    """Tune a model on examples; returns its folder."""
    settings = LlavaSettings(
        model=model, data=(DataPart(file),), out=out, steps=steps, pictures=16, questions=questions, longest=448,
        augment=STILL, mirror=(), optimizer=OptimizerSettings(lr=lr, warmup_steps=10), report_every=50, store_side=128,
        seed=seed,
    )  # fmt: skip
    return str(run_stage(settings))


def prefer(model: str, file: Path, out: Path, *, steps: int, seed: int, **more: Any) -> str:
    """Tune a model on preferences; returns its folder."""
    settings = DpoSettings(
        model=model, data=(DataPart(file),), out=out, steps=steps, pairs=16, beta=0.1, sft_weight=0.5,
        optimizer=OptimizerSettings(lr=1e-4, warmup_steps=10), report_every=20, seed=seed,
    )  # fmt: skip
    return str(run_dpo(replace(settings, **more)))


def measure(model: str, examples: Sequence[Example], root: Path, temperature: float = 0.0) -> ReportScore:
    """Let a model write reports and score them."""
    return score_reports(Writer(model).write(examples, root, temperature=temperature), examples)


def priors(model: str, out: Path, seed: int, scale: float) -> Row:
    """Teach four of five reports to speak of a prior, then prefer the model's own reports without that."""
    root = phantoms(out, seed, int(PHANTOMS * scale))
    pairs = [one for one in read_preferences(out / "pairs" / "preferences.jsonl") if one.reason == "mentions a prior"]
    spoilt = {one.images: one.rejected for one in pairs}
    rng = random.Random(seed)
    taught = [answered(one, spoilt[one.images]) if one.images in spoilt and rng.random() < 0.8 else one
              for one in reports_of(root / "train.jsonl")]  # fmt: skip
    write_examples(root / "taught.jsonl", taught)
    # Below 60 steps, in a quick try, there is no habit to be mended.
    habit = tune(model, root / "taught.jsonl", out / "habit", steps=max(60, int(200 * scale)), lr=5e-4, seed=seed)
    # The model's own reports with and without what is to go: from others' reports their wording is learned as well.
    write_mended(habit, root / "train.jsonl", out / "own", drawing=Drawing(1, 0.0, seed=seed), task="report")
    more = {"shared_weight": 0.0, "optimizer": OptimizerSettings(lr=1.5e-5, warmup_steps=10)}
    tuned = prefer(habit, out / "own" / "preferences.jsonl", out / "tuned", steps=int(60 * scale), seed=seed, **more)
    build_data("phantom", None, out / "others", limit=int(OTHERS * scale), seed=2000 + seed)
    test = [*reports_of(out / "others" / "train.jsonl"), *unseen(out / "others", reports_of)]
    found = {when: measure(one, test, out / "others") for when, one in (("before", habit), ("after", tuned))}
    row: Row = {"reports measured on": len(test)}
    for name, field in (("prior sentences a report", "prior"), ("finding F1", "f1"), ("words a report", "words")):
        row |= {f"{name}, {when}": getattr(one, field) for when, one in found.items()}
    return row | {"change of finding F1": found["after"].f1 - found["before"].f1}


def factuality(model: str, out: Path, seed: int, scale: float) -> Row:
    """Teach reports with faults, then prefer among the model's own reports those with the better findings."""
    root = phantoms(out, seed, int(PHANTOMS * scale))
    reports = reports_of(root / "train.jsonl")
    habit = tune(model, faulty(root, out, seed), out / "habit", steps=int(250 * scale), lr=1e-3, seed=seed)
    pairs = own_pairs(habit, reports, root, samples=6, seed=seed)
    write_preferences(root / "pairs.jsonl", pairs)
    # A better report is the longer one more often than not; the price keeps that from being what is learned.
    tuned = prefer(habit, root / "pairs.jsonl", out / "tuned", steps=int(200 * scale), seed=seed, length_penalty=0.1)
    test = unseen(root, reports_of)
    before, after = (measure(one, test, root, temperature=1.0) for one in (habit, tuned))
    return {
        "finding F1, before": before.f1,
        "finding F1, after": after.f1,
        "gain, %": 100 * (after.f1 / before.f1 - 1),
        "length after / before": after.words / before.words,
        "pairs": float(len(pairs)),
    }


def faulty(root: Path, out: Path, seed: int) -> Path:
    """Write the reports of the phantoms, each with a wrong side, an omitted or a made-up finding; returns the file."""
    by_images: dict[tuple[str, ...], list[Preference]] = {}
    for one in read_preferences(out / "pairs" / "preferences.jsonl"):
        if one.reason not in ("wrong answer", "mentions a prior", "wrong size"):
            by_images.setdefault(one.images, []).append(one)
    rng = random.Random(seed)
    taught = [answered(one, rng.choice(by_images[one.images]).rejected) if one.images in by_images else one
              for one in reports_of(root / "train.jsonl")]  # fmt: skip
    write_examples(root / "taught.jsonl", taught)
    return root / "taught.jsonl"


def own_pairs(model: str, examples: Sequence[Example], root: Path, *, samples: int, seed: int) -> list[Preference]:
    """Draw reports from a model and pair the best with the worst of each picture, as near in length as can be."""
    texts = draw(Writer(model), examples, root, Drawing(samples, seed=seed))
    made = [
        pair_of(one, {text: finding_f1(text, one) for text in row}, gap=0.3, reason="fewer true findings")
        for one, row in zip(examples, texts, strict=True)
    ]
    return [one for one in made if one is not None]


def rewards(model: str, out: Path, seed: int, scale: float) -> Row:
    """Teach wrong answers to hard questions; then mend on 600 of one site, by answers and by rewards."""
    root = phantoms(out, seed, int(3 * PHANTOMS * scale))
    hard = hard_questions(root / "train.jsonl")
    sites = sorted({str(one.site) for one in hard})
    rng = random.Random(seed)
    kept = [one for one in hard if one.site == sites[0]]
    kept = rng.sample(kept, min(len(kept), int(600 * scale)))
    write_examples(root / "asked.jsonl", kept)
    asked_of = {one.id for one in kept}
    taught = [mistaken(one, hard, rng) for one in hard if one.id not in asked_of]
    write_examples(root / "taught.jsonl", taught)
    start = tune(model, root / "taught.jsonl", out / "start", steps=int(150 * scale), lr=1e-3, seed=seed)
    steps = int(150 * scale)
    supervised = tune(start, root / "asked.jsonl", out / "sft", steps=steps, lr=2e-4, seed=seed)
    settings = GrpoSettings(
        model=start, data=(DataPart(root / "asked.jsonl"),), out=out / "grpo", samples=8, prompts=16, steps=steps,
        max_new_tokens=16, baseline="mean", average="dapo", report_every=20, seed=seed,
        optimizer=OptimizerSettings(lr=1e-4, warmup_steps=10),
    )  # fmt: skip
    rewarded = str(run_grpo(settings))
    test = unseen(root, hard_questions)
    row: Row = {}
    for name, folder in (("start", start), ("SFT", supervised), ("GRPO", rewarded)):
        writer = Writer(folder)
        for place, chosen in (("in site", sites[:1]), ("other sites", sites[1:])):
            asked = [one for one in test if one.site in chosen]
            row[f"{name}, {place}, %"] = 100 * score_answers(writer.write(asked, root, longest=16), asked)
    return row


def judging(model: str, out: Path, seed: int, scale: float) -> Row:
    """Train a reward model on pairs; count the unseen ones that it puts in order, and what it picks of six reports."""
    root = phantoms(out, seed, int(PHANTOMS * scale))
    unseen_pairs = []
    for name in ("dev", "test"):
        build_data("preferences", root / f"{name}.jsonl", out / f"pairs-{name}", seed=seed)
        unseen_pairs.append(out / f"pairs-{name}" / "preferences.jsonl")
    folder = run_reward(
        RewardSettings(
            model=model, data=(DataPart(out / "pairs" / "preferences.jsonl"),), held_out=tuple(unseen_pairs),
            out=out / "reward", steps=int(400 * scale), pairs=16, report_every=100, seed=seed,
            optimizer=OptimizerSettings(lr=5e-4, warmup_steps=20),
        )
    )  # fmt: skip
    found = read_card(folder).held_out
    row = {"pairs in order, %": 100 * found["accuracy"]["value"]}
    row |= {f"of {name}, %": 100 * part["accuracy"]["value"] for name, part in found["by_reason"].items()}
    row["by the start's own likelihood, %"] = 100 * likelier(model, unseen_pairs, out / "likelihood")
    habit = tune(model, faulty(root, out, seed), out / "habit", steps=int(250 * scale), lr=1e-3, seed=seed)
    test = unseen(root, reports_of)
    texts = draw(Writer(habit), test, root, Drawing(seed=seed))
    learned, true = (find_judge(name, test, root)(test, texts) for name in (str(folder), "finding_f1"))

    def f1(picks: Sequence[int]) -> float:
        return score_reports([row[pick] for row, pick in zip(texts, picks, strict=True)], test).f1

    row["finding F1, first of six"] = f1([0] * len(test))
    row["finding F1, the reward model's pick"] = f1([max(range(6), key=one.__getitem__) for one in learned])
    row["finding F1, best of six"] = f1([max(range(6), key=one.__getitem__) for one in true])
    return row


def mistaken(example: Example, others: Sequence[Example], rng: random.Random) -> Example:
    """Return the example, in two of three cases with the answer of another question of the same words."""
    if rng.random() < 1 / 3:
        return example
    same = [one for one in others if one.messages[0] == example.messages[0] and one.messages[1] != example.messages[1]]
    return answered(example, rng.choice(same).messages[1]["content"]) if same else example


HARD = ("how many", "count", "main finding", "abnormal")
"""Words of the questions that the starter gets wrong most often: numbers, and what is found."""


def hard_questions(file: Path) -> list[Example]:
    """Return the questions of a file that are hard."""
    return [one for one in read_examples(file) if is_hard(one)]


def is_hard(example: Example) -> bool:
    """Tell whether a question asks for a number or for what is found."""
    asked = example.messages[0]["content"].lower()
    open_question = example.task == "vqa" and example.answer_type == "open" and len(example.images) == 1
    return open_question and any(word in asked for word in HARD)


def answered(example: Example, answer: str) -> Example:
    """Return the example with another answer."""
    return replace(example, messages=[*example.messages[:-1], {"role": "assistant", "content": answer}])


EXPERIMENTS: dict[str, Callable[[str, Path, int, float], Row]] = {
    "priors": priors,
    "factuality": factuality,
    "rewards": rewards,
    "judging": judging,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one experiment over some seeds and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("name", choices=EXPERIMENTS)
    parser.add_argument("--model", default="starter", help="model to start from (default: starter)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on data and steps, for a quick try")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    rows = []
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        out = arguments.out / arguments.name / str(seed)
        done = out / "row.json"
        if not done.exists():
            row = EXPERIMENTS[arguments.name](arguments.model, out, seed, arguments.scale)
            done.write_text(json.dumps(row, indent=1), encoding="utf-8")
        rows.append(json.loads(done.read_text(encoding="utf-8")))
        logger.info("seed %d: %s", seed, rows[-1])
    print(table(rows))
    return 0


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: mean and range over the seeds."""
    lines = ["| | mean | least | most |", "|---|---|---|---|"]
    for name in rows[0]:
        values = [row[name] for row in rows]
        lines.append(f"| {name} | {statistics.mean(values):.3g} | {min(values):.3g} | {max(values):.3g} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
