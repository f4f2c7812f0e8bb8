"""Makes a model's confidence mean what it says, and gives it a guard: writes a copy of its folder with the numbers.

Each kind of answer gets a Platt scaling of its raw confidence and a threshold under which the assistant abstains;
`--known` training pictures become the guard that stops on images unlike them. The weights are copied as they are.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError, ConfigError
from training.calibration_views import CHOICES, choose_views

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel
    from training.calibration_guard import Guard
    from training.evaluation.summary import Prediction

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CalibrationSettings:
    """What decides on the thresholds."""

    worth: tuple[tuple[str, float], ...] = (("closed", 0.5), ("open", 0.2), ("report", 0.2))
    """For each kind the least probability of being right that is worth an answer: more likely right than wrong where
    there is a choice; one in five where the words must be the truth's own, since many other words are not wrong."""
    most_withheld: float = 0.02
    """Thresholds are lowered until at most this share of the right development answers of a kind is withheld."""
    most_rejected: float = 0.02
    """At most this share of the development pictures is taken for unlike anything known."""
    known_pictures: int = 1200
    """How many training pictures vote on the kind of a picture."""
    fitted_pictures: int = 2000
    """How many training pictures, those among them, the kinds' Gaussians are fitted to."""
    seed: int = 0
    """Of the samples."""

    def __post_init__(self) -> None:
        for name in ("most_withheld", "most_rejected"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ConfigError(f"{name} is {value}; use a share from 0 up to, but not, 1.")
        if not 1 <= self.known_pictures <= self.fitted_pictures:
            raise ConfigError(
                f"known_pictures is {self.known_pictures} and fitted_pictures {self.fitted_pictures}; "
                "use 1 or more, and no more known than fitted."
            )


def fit_confidence(
    rows: Sequence[Prediction], settings: CalibrationSettings
) -> tuple[dict[str, float], dict[str, Any]]:
    """Fit every kind of answer of which there are enough.

    Args:
        rows: answers with raw confidences.
        settings: thresholds.

    Returns:
        Numbers for the contract, such as `closed_a`, and a report by kind.
    """
    from training.calibration_fit import LEAST_ANSWERS, fit_kind

    numbers: dict[str, float] = {}
    report: dict[str, Any] = {}
    for kind, wanted in settings.worth:
        part = [row for row in rows if row.reply.kind == kind and row.right is not None]
        if len(part) < LEAST_ANSWERS:
            report[kind] = {"answers": len(part), "fitted": False}
            continue
        found, report[kind] = fit_kind(
            [row.reply.confidence for row in part],
            [float(bool(row.right)) for row in part],
            [row.item.group for row in part],
            wanted=wanted,
            most=settings.most_withheld,
        )
        numbers |= {f"{kind}_a": found["a"], f"{kind}_b": found["b"], f"abstain_below_{kind}": found["abstain_below"]}
    return numbers, report


def write_folder(model: LoadedModel, out: Path, calibration: dict[str, float], guard: Guard | None) -> Path:
    """Write a copy of a model folder with other calibration; it appears complete or not at all.

    Args:
        model: whose folder to copy; weights and all other files stay as they are.
        out: the folder to make; it must not exist or must be empty.
        calibration: the new numbers; others that the contract has, such as those of quotations, stay.
        guard: replaces the folder's guard; None keeps it.

    Returns:
        `out`.
    """
    from assistant.known import save_known_pictures
    from assistant.model.writing import atomic_folder, today

    with atomic_folder(out) as folder:
        shutil.copytree(model.folder, folder, dirs_exist_ok=True)
        if guard is not None:
            save_known_pictures(folder, guard.vectors, guard.modalities, guard.kinds)
        kept = dict(model.contract.calibration)
        model.contract.replace(created=today(), calibration={**kept, **calibration}).write(folder)
    return out


def calibrate(
    model_name: str, dev: Sequence[Path], out: Path, *, known: Sequence[Path] = (), unlike: Sequence[Path] = (),
    settings: CalibrationSettings | None = None, batch_size: int = 32, device: str = "auto",
    views: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Calibrate a model on development data.

    Args:
        model_name: a model folder.
        dev: data files with questions that the model was not trained on.
        out: the folder to make.
        known: data files of its training pictures; none leaves the guard as it is.
        unlike: data files of pictures from elsewhere, to report on.
        settings: the usual ones if None.
        batch_size: questions that go through the model together.
        device: where to run.
        views: of `calibration_views.CHOICES`; none leaves the contract's.

    Returns:
        A report: what was fitted, by kind, and the guard.
    """
    from assistant.augment import CAPABILITY
    from assistant.config import GenerationConfig
    from assistant.model.load import load_model
    from training.calibration_guard import fit_guard
    from training.evaluate import picture_loader, predict, read_data
    from training.evaluation.answers import Asker
    from training.evaluation.items import make_item

    settings = settings or CalibrationSettings()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists already. Give another --out, or remove it first.")
    items = [make_item(example, root) for root, example in read_data(dev)]
    model = load_model(model_name, device=device)
    uncalibrated = replace(model, contract=model.contract.replace(calibration={}))
    load, config = picture_loader(), GenerationConfig(batch_size=batch_size, abstain_below=0.0, check_images=False)

    def answers(asked: LoadedModel) -> list[Prediction]:
        return predict(
            Asker(asked, config), items, load, lambda done: logger.info("%d of %d questions", done, len(items))
        )

    if views:
        uncalibrated, rows, tried = choose_views(uncalibrated, views, answers)
        model = replace(model, contract=model.contract.replace(capabilities=uncalibrated.contract.capabilities))
        numbers, report = fit_confidence(rows, settings)
        report["views"] = {"taken": uncalibrated.contract.capabilities.get(CAPABILITY, "none"), "right": tried}
    else:
        numbers, report = fit_confidence(answers(uncalibrated), settings)
    guard = None
    if known:
        guard, numbers["ood_distance"], report["guard"] = fit_guard(
            model, dev, known, unlike,
            voters=settings.known_pictures, fitted=settings.fitted_pictures,
            most_rejected=settings.most_rejected, seed=settings.seed,
        )  # fmt: skip
    write_folder(model, out, numbers, guard)
    return {"calibration": numbers, **report}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or input that must be mended."""
    parser = argparse.ArgumentParser(
        prog="python -m training.calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = CalibrationSettings()
    parser.add_argument("--model", required=True, help="the model folder to calibrate; it stays as it is")
    parser.add_argument("--data", type=Path, required=True, nargs="+", metavar="DEV.jsonl", help="held-out questions")
    parser.add_argument("--known", type=Path, default=[], nargs="+", metavar="TRAIN.jsonl", help="training pictures")
    parser.add_argument("--unlike", type=Path, default=[], nargs="+", metavar="F.jsonl", help="pictures from elsewhere")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to make")
    parser.add_argument(
        "--views", nargs="+", choices=CHOICES, default=[],
        help="weigh answers to choose from over altered pictures too; auto takes those with which most held-out "
        "answers are right, none takes them away (default: as the contract says)",
    )  # fmt: skip
    parser.add_argument(
        "--most-withheld", type=float, default=usual.most_withheld,
        help=f"largest share of right held-out answers to withhold (default: {usual.most_withheld})",
    )  # fmt: skip
    parser.add_argument(
        "--most-rejected", type=float, default=usual.most_rejected,
        help=f"largest share of held-out pictures to take for unknown (default: {usual.most_rejected})",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=32, help="questions at a time (default: 32)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    try:
        report = calibrate(
            arguments.model, arguments.data, arguments.out, known=arguments.known, unlike=arguments.unlike,
            settings=replace(usual, most_withheld=arguments.most_withheld, most_rejected=arguments.most_rejected),
            batch_size=arguments.batch_size, device=arguments.device, views=arguments.views,
        )  # fmt: skip
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
