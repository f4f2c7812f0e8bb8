"""Command: turn a data set into example files. `python -m data_recipes.build NAME --source PATH --out DIR`."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from assistant.errors import AssistantError, DataError

logger = logging.getLogger("data_recipes.build")


class Build(Protocol):
    """What each recipe's module offers under the name `build`."""

    def __call__(self, source: Path, out: Path, *, limit: int | None, seed: int, link: bool) -> dict[str, int]:
        """Write the example files of `source` into `out` and return their names with their numbers of examples."""


@dataclass(frozen=True)
class Recipe:
    """One data set that can be built."""

    module: str
    """Module whose `build` does it; imported only then."""
    summary: str
    """One line for `--list`."""
    needs_source: bool = True
    """False where nothing is read."""


RECIPES: dict[str, Recipe] = {
    "manifest": Recipe("data_recipes.manifest", "a folder of images with manifest.jsonl"),
    "instruct": Recipe("data_recipes.instruct", "more questions, reports and evidence from an example file"),
    "preferences": Recipe("data_recipes.preferences", "pairs of a true and a spoilt answer from an example file"),
    "phantom": Recipe("data_recipes.phantom_recipe", "drawn pictures with exact truth", needs_source=False),
}


def build_data(
    name: str, source: Path | None, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False
) -> dict[str, int]:
    """Build a data set into a new folder: all of it, or on any fault nothing.

    Args:
        name: key in `RECIPES`.
        source: what to read; None for a recipe that needs nothing.
        out: folder to make; it must not exist, or be empty.
        limit: at most this many records.
        seed: decides every choice that is left to chance, 0 or more.
        link: put links to the images instead of copies, where the recipe copies any.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: the name is unknown, a path is missing or taken, or the data breaks its format.
    """
    if name not in RECIPES:
        raise DataError(f"recipe {name!r} is unknown; use one of {', '.join(sorted(RECIPES))}.")
    recipe = RECIPES[name]
    if recipe.needs_source and source is None:
        raise DataError(f"recipe {name!r} reads a data set; say where it is with --source PATH.")
    if source is not None and not source.exists():
        raise DataError(f"--source {source} does not exist; check the path.")
    if limit is not None and limit < 1:
        raise DataError(f"--limit is {limit}; use 1 or more.")
    if seed < 0:
        raise DataError(f"--seed is {seed}; use 0 or more.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"--out {out} is there already and not an empty folder; give a new one, or delete it first.")
    build = cast(Build, importlib.import_module(recipe.module).build)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        counts = build(cast(Path, source), work, limit=limit, seed=seed, link=link)
        work.chmod(0o755)
        os.replace(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return counts


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes those of the process.
    Returns:
        exit code: 0 built, 2 wrong usage or faulty data.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        _say("".join(f"{name:10} {recipe.summary}\n" for name, recipe in sorted(RECIPES.items())))
        return 0
    if options.name is None or options.out is None:
        parser.error("give a recipe's NAME and --out DIR, or --list")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s", force=True)
    began = time.perf_counter()
    try:
        counts = build_data(
            options.name, options.source, options.out, limit=options.limit, seed=options.seed, link=options.link
        )
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logger.info("built %s in %.1f s", options.name, time.perf_counter() - began)
    _say("".join(f"{options.out / name}\t{count}\n" for name, count in counts.items()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_recipes.build", description="Turn a data set into example files, one a split."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="recipe: " + ", ".join(sorted(RECIPES)))
    parser.add_argument("--source", type=Path, metavar="PATH", help="the data set to read (phantom: none)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="new folder for the example files and images")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N records (phantom: N in all; default 1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="for choices by chance (default 0)")
    parser.add_argument("--link", action="store_true", help="link to the images instead of copying them")
    parser.add_argument("--list", action="store_true", help="name the recipes and stop")
    return parser


def _say(text: str) -> None:
    """Write a result to standard output."""
    sys.stdout.write(text)


if __name__ == "__main__":
    sys.exit(main())
