"""Makes the starter model from a manifest folder with one command: data, encoder, language model, index, scores, card.

`python -m training.starter --data DIR --out DIR`. DIR is a folder with `manifest.jsonl` and its images; passages for
the text tower are taken from `DIR/text` where the recipe names them, and from the shipped knowledge cards. Each step
leaves its result under `--out`; a step whose result is there is not done again, and a step that was cut short goes on
from its last saved state.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from assistant.ending import run_command
from assistant.errors import AssistantError, DataError
from training import starter_measure as measure
from training import starter_sources as sources
from training.settings import DataPart
from training.starter_step import Step, run_main

logger = logging.getLogger("training.starter")

KNOWLEDGE = Path(__file__).parents[1] / "retrieval" / "knowledge"
PHANTOM_SEED = 7
HELD_OUT_SEED = 5001
"""Of the phantoms whose reports are scored; nothing is trained or chosen on them."""


class Starter:
    """The whole chain.

    Args:
        data: manifest folder.
        out: where everything is written.
        scale: factor on every number of training steps and of phantoms, for a quick try.
        threads: CPU threads of the training stages.
        large: go on with the encoder at 160 pixels, as the shipped model does; without, it stays at 128.
        teacher_weights: safetensors file of what the larger encoder's teacher has learnt before, if there is one.
    """

    def __init__(
        self,
        data: Path,
        out: Path,
        *,
        scale: float = 1.0,
        threads: int = 1,
        large: bool = True,
        teacher_weights: Path | None = None,
    ) -> None:
        self.data, self.out, self.scale, self.threads = data, out, scale, threads
        self.large, self.teacher_weights = large, teacher_weights
        self.sets = out / "data"

    def steps(self) -> list[Step]:
        """Return the steps in order."""
        sets, out = self.sets, self.out
        phantoms = max(20, int(sources.PHANTOMS * self.scale))
        others = max(20, int(sources.HELD_OUT * self.scale))
        reports, held_out = sets / "phantoms" / "reports.jsonl", sets / "held-out"
        return [
            Step("manifest", sets / "pack", lambda: self._data("manifest", self.data, "pack")),
            Step(
                "instruct", sets / "instruct", lambda: self._data("instruct", sets / "pack" / "train.jsonl", "instruct")
            ),
            Step("phantoms", sets / "phantoms", lambda: self._data("phantom", None, "phantoms", phantoms)),
            Step(
                "phantom-instruct",
                sets / "phantom-instruct",
                lambda: self._data("instruct", sets / "phantoms" / "train.jsonl", "phantom-instruct"),
            ),
            Step("phantom-reports", reports, lambda: sources.reports_to_train(reports)),
            Step("held-out", held_out, lambda: self._data("phantom", None, "held-out", others, HELD_OUT_SEED)),
            Step("held-out-reports", held_out / "reports.jsonl", lambda: sources.all_reports(held_out)),
            Step("contrast", out / "contrast" / "encoder", lambda: self._encoder("contrast")),
            Step("assemble", out / "assembled", self._assemble),
            Step("align", out / "align" / "model", lambda: self._llava("align", out / "assembled")),
            Step("sft", out / "sft" / "model", lambda: self._llava("sft", out / "align" / "model")),
            Step("sft_long", out / "sft_long" / "model", lambda: self._llava("sft_long", out / "sft" / "model")),
            Step("average", out / "average", lambda: self._average("sft", "sft_long", "average")),
            *(self._larger() if self.large else []),
            Step("compact", out / "compact", self._compact),
            Step("calibrate", out / "model", self._calibrate),
            Step("index", out / "index", self._index),
            Step("evaluate", out / "scores" / "metrics.json", lambda: measure.evaluate(sets, out)),
            Step(
                "evaluate_reports",
                out / "scores_reports" / "metrics.json",
                lambda: measure.evaluate_reports(sets, out),
            ),
            Step("card", out / "card.md", lambda: measure.write_card(out)),
            Step("examples", out / "model" / "examples", self._examples),
        ]

    def _larger(self) -> list[Step]:
        out, tuned = self.out, self.out / "sft_large" / "model"
        return [
            Step("contrast_large", out / "contrast_large" / "encoder", self._contrast_large),
            Step("assemble_large", out / "assembled_large", self._assemble_large),
            Step("sft_large", tuned, lambda: self._llava("sft_large", out / "assembled_large")),
            Step("sft_reports", out / "sft_reports" / "model", lambda: self._llava("sft_reports", tuned)),
            Step(
                "average_large",
                out / "average_large",
                lambda: self._average("sft_large", "sft_reports", "average_large"),
            ),
        ]

    def run(self) -> None:
        """Do what is not done yet."""
        for step in self.steps():
            if step.result.exists():
                logger.info("%s: done before", step.name)
                continue
            logger.info("%s: begins", step.name)
            step.work()

    def _data(
        self, recipe: str, source: Path | None, name: str, limit: int | None = None, seed: int = PHANTOM_SEED
    ) -> None:
        from data_recipes.build import build_data

        build_data(recipe, source, self.sets / name, limit=limit, seed=seed)

    def _steps(self, count: int) -> int:
        return max(2, int(count * self.scale))

    def _contrast_large(self) -> None:
        """Go on with the encoder at more pixels; a teacher without weights is of the first one's kind."""
        known = self.teacher_weights
        teacher = [f"teacher.weights={known or 'null'}"] + ([] if known else ["teacher.arch=resnet18"])
        self._encoder("contrast_large", f"encoder={self.out / 'average'}", *teacher)

    def _encoder(self, stage: str, *more: str) -> None:
        from training.contrast import ContrastSettings, run
        from training.recipe import load_recipe

        recipe = sources.RECIPES / f"starter_{stage}.yaml"
        plain = load_recipe(ContrastSettings, recipe)
        passages = [*sources.passage_files(self.data), KNOWLEDGE]
        pack = self.sets / "pack"
        changes = [
            f"data=[{pack / 'train.jsonl'}]",
            f"dev={pack / 'dev.jsonl' if (pack / 'dev.jsonl').exists() else 'null'}",
            f"passages=[{', '.join(map(str, passages))}]",
            f"out={self.out / stage}",
            f"steps={self._steps(plain.steps)}",
            f"teacher.steps={self._steps(plain.teacher.steps if plain.teacher else 1)}",
            f"phantoms.count={max(40, int(plain.phantoms.count * self.scale))}",
            f"threads={self.threads}",
            *more,
        ]
        run(load_recipe(ContrastSettings, recipe, changes), resume=(self.out / stage / "run.json").exists())

    def _assemble(self) -> None:
        from training.assemble import run
        from training.assemble_settings import AssembleSettings
        from training.recipe import load_recipe

        words = [self.sets / "phantoms" / "train.jsonl", *self._instruct_files(), KNOWLEDGE]
        changes = [
            f"encoder={self.out / 'contrast' / 'encoder'}",
            f"new_tokenizer.data=[{', '.join(map(str, words))}]",
            f"out={self.out / 'assembled'}",
        ]
        settings = load_recipe(AssembleSettings, sources.RECIPES / "starter_assemble.yaml", changes)
        known = (
            [f"weights that the encoder's teacher began with: {self.teacher_weights.name}"]
            if self.teacher_weights
            else []
        )
        run(dataclasses.replace(settings, training_data=(*sources.training_data(self.data), *known)))

    def _assemble_large(self) -> None:
        from assistant.model.other_encoder import replace_encoder

        encoder = self.out / "contrast_large" / "encoder"
        replace_encoder(self.out / "average", encoder, self.out / "assembled_large", name="starter")

    def _instruct_files(self) -> list[Path]:
        return sorted((self.sets / "instruct").glob("*.jsonl"))

    def _llava(self, stage: str, model: Path) -> None:
        from training.llava import run_stage
        from training.recipe import load_recipe
        from training.settings import LlavaSettings

        recipe = sources.RECIPES / f"starter_{stage}.yaml"
        plain = load_recipe(LlavaSettings, recipe)
        parts = self._parts({Path(*part.path.parts[-2:]): part for part in plain.data}, stage)
        changes = [
            f"model={model}",
            f"data=[{', '.join(parts)}]",
            f"out={self.out / stage}",
            f"steps={self._steps(plain.steps)}",
            f"threads={self.threads}",
        ]
        run_stage(load_recipe(LlavaSettings, recipe, changes), resume=(self.out / stage / "run.json").exists())

    def _parts(self, named: dict[Path, DataPart], stage: str) -> list[str]:
        """Return the data parts that exist; instruction files that the recipe does not name get half a share."""
        if stage != "align":
            for path in self._instruct_files():
                name = path.relative_to(self.sets)
                named.setdefault(name, DataPart(name, 0.5))
        found = {self.sets / name: part for name, part in named.items() if (self.sets / name).is_file()}
        return [
            f"{{path: {path}, weight: {part.weight}, balance: {part.balance or 'null'}}}"
            for path, part in found.items()
        ]

    def _average(self, former: str, latter: str, name: str) -> None:
        """What a tuning's latter part gains, on evidence or reports, and its former knows better, meet half-way."""
        from training.average import average_models

        average_models([self.out / stage / "model" for stage in (former, latter)], self.out / name)

    def _compact(self) -> None:
        """Halve the size on disk; the loader computes in float32 all the same."""
        from assistant.model.load import load_model
        from assistant.model.save import save_model
        from training.assemble_settings import AssembleSettings
        from training.recipe import load_recipe

        can = load_recipe(AssembleSettings, sources.RECIPES / "starter_assemble.yaml").capabilities or {}
        trained = load_model(self.out / ("average_large" if self.large else "average"))
        save_model(trained, self.out / "compact", dtype="bfloat16", name="starter", capabilities=can)

    def _calibrate(self) -> None:
        from training.calibrate import main

        pack = self.sets / "pack"
        arguments = ["--model", self.out / "compact", "--data", pack / "dev.jsonl"]
        arguments += ["--known", pack / "train.jsonl", self.sets / "phantoms" / "train.jsonl"]
        unlike = pack / "smoke.jsonl"
        arguments += ["--unlike", unlike] if unlike.exists() else []
        # A picture that is refused is an answer lost, so one in a hundred at most.
        run_main("calibrate", main, [*arguments, "--most-rejected", 0.01, "--out", self.out / "model"])

    def _index(self) -> None:
        from retrieval.build import main as build
        from retrieval.domain import main as fit

        model, partial = ["--model", self.out / "model"], self.out / "index.partial"
        shutil.rmtree(partial, ignore_errors=True)
        run_main("index", build, ["knowledge", *model, "--out", partial])
        if len(sources.modalities(self.data)) > 1:  # a router has nothing to tell apart otherwise
            run_main("domain", fit, [partial, "--data", self.data, "--fit", *model])
        partial.rename(self.out / "index")

    def _examples(self) -> None:
        sources.draw_examples(self.out / "model" / "examples")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.starter", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl, images, and text/*.jsonl")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on steps and phantoms; 0.01 is a quick try")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of training (default 1)")
    parser.add_argument("--small", action="store_true", help="end at 128 pixels, in half the time; shipped are 160")
    parser.add_argument(
        "--teacher-weights", type=Path, metavar="FILE", help="safetensors of timm's tf_efficientnet_lite0, not --small"
    )
    parser.add_argument("--dry-run", action="store_true", help="list the steps and which are done, and stop")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    try:
        if not (arguments.data / "manifest.jsonl").is_file():
            raise DataError(f"{arguments.data} has no manifest.jsonl; give a manifest folder with --data.")
        known = arguments.teacher_weights
        if known is not None and (arguments.small or not known.is_file()):
            wrong = "is of no use with --small" if arguments.small else "is no file; give one, or leave it out"
            raise DataError(f"--teacher-weights {known} {wrong}.")
        options = {"scale": arguments.scale, "threads": arguments.threads, "large": not arguments.small}
        starter = Starter(arguments.data, arguments.out, teacher_weights=known, **options)
        if arguments.dry_run:
            for step in starter.steps():
                sys.stdout.write(f"{step.name}\t{step.result}\t{'done' if step.result.exists() else 'to do'}\n")
            return 0
        starter.run()
    except AssistantError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
