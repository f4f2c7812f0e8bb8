"""Recipes: one YAML file a run, turned into the frozen settings of a stage; plus what every stage's command shares."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from assistant.errors import AssistantError, ConfigError, TrainingError
from assistant.strict import build, override, read_yaml
from training.trainer_keys import foreign_faults

T = TypeVar("T")


@dataclass(frozen=True)
class OptimizerSettings:
    """How weights are updated; `optimizer:` in a recipe."""

    name: str = "adamw"
    """adamw; or muon: matrices between hidden states by Muon, which a model from scratch learns faster by, the rest by
    AdamW."""
    lr: float = 1e-3
    """Peak learning rate. Muon's updates are scaled to the size of AdamW's, so one value serves both."""
    weight_decay: float = 0.05
    """Decoupled weight decay on matrices; vectors (norms, biases) have none."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises from zero; then a half cosine to `final_lr_share`."""
    final_lr_share: float = 0.02
    """Learning rate at the last step, as a share of the peak."""
    clip_norm: float = 1.0
    """Gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        if self.name not in ("adamw", "muon"):
            raise ConfigError(f"optimizer.name is {self.name!r}; use adamw or muon.")
        if self.lr <= 0:
            raise ConfigError(f"optimizer.lr is {self.lr}; use a number above 0, such as 1e-3.")
        if self.clip_norm <= 0:
            raise ConfigError(f"optimizer.clip_norm is {self.clip_norm}; use a number above 0, such as 1.0.")


def load_recipe(cls: type[T], path: Path, assignments: Sequence[str] = ()) -> T:
    """Read a recipe into a stage's settings.

    Args:
        cls: the stage's settings class.
        path: a YAML file.
        assignments: "a.b=c" from the command line, applied over the file.
    Returns:
        The settings.
    Raises:
        ConfigError: names every mistake at once.
    """
    values = override(read_yaml(path), assignments)
    known = {one.name for one in dataclasses.fields(cast("Any", cls))}
    foreign = foreign_faults(values, known, getattr(cls, "COUNTED", None))
    if not foreign:
        return build(cls, values, where=str(path))
    told = [f"  - {line}" for lines in foreign.values() for line in lines.splitlines()]
    try:
        build(cls, {key: value for key, value in values.items() if key not in foreign}, where=str(path))
    except ConfigError as error:
        told = [*str(error).splitlines()[1:], *told]
    raise ConfigError("\n".join([f"{path} has {len(told)} mistake(s):", *told]))


def stage_main(
    stage: str,
    settings_class: type[T],
    describe: Callable[[T], str],
    run: Callable[[T, bool], None],
    argv: Sequence[str] | None = None,
    preview: Callable[[T], str] | None = None,
    *,
    together: bool = False,
) -> int:
    """Run a stage's command line; every stage takes the same arguments.

    Args:
        stage: module name under `training`.
        settings_class: what the recipe is read into.
        describe: one line on what will run, after a quick check of the inputs.
        run: does the work; its second argument says whether to resume.
        argv: arguments, by default those of the process.
        preview: what a dry run prints below that line, after it has read and checked everything.
        together: whether several processes, started by accelerate or torchrun, can run the stage together.
    Returns:
        Exit code: 0 done, 2 wrong usage or input that must be mended.
    """
    about = sys.modules[run.__module__].__doc__
    parser = argparse.ArgumentParser(prog=f"python -m training.{stage}", description=about)
    parser.add_argument("recipe", type=Path, help="YAML file; see training/recipes")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change one value of the recipe")
    parser.add_argument("--dry-run", action="store_true", help="check recipe and inputs, say what would run, and stop")
    parser.add_argument("--resume", action="store_true", help="go on from the last saved state of the same run folder")
    arguments = parser.parse_args(argv)
    # Of several processes that do the same, one tells.
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(
        level=logging.INFO if first else logging.ERROR, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s"
    )
    # It tells, whenever PEFT is imported, of a faster kernel that would have to be downloaded.
    logging.getLogger("bitsandbytes.backends").setLevel(logging.ERROR)
    try:
        settings = load_recipe(settings_class, arguments.recipe, arguments.set)
        summary = describe(settings)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not (together or arguments.dry_run):
            raise TrainingError(f"training.{stage} runs in one process; start it with python -m training.{stage}.")
        if arguments.dry_run:
            details = f"\n\n{preview(settings)}" if preview else ""
            sys.stdout.write(f"{summary}{details}\n" if first else "")
            return 0
        logging.getLogger(__name__).info("%s", summary)
        run(settings, arguments.resume)
    except AssistantError as error:
        sys.stderr.write(f"error: {error}\n" if first else "")
        return 2
    finally:
        if "torch.distributed" in sys.modules:
            from training.team import leave

            leave()
    return 0
