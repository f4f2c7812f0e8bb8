"""Command: turn a data set into example files. `python -m data_recipes.build NAME --source PATH --out DIR`.

A recipe is a module with a function `build`. It may also have `add_options`, which adds options of its own to the
command line (they reach `build` by name), and `ALLOWED_LEAKS`, which declares leaks that the data set's own splits
have, with the reason. What was built is audited before it is kept (`data_recipes.audit`).
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError, DataError
from data_recipes.datasets.catalogue import CARDS, Card, module_of

logger = logging.getLogger("data_recipes.build")

HUB = Path("hub")
"""As `--source`, stands for the Hugging Face hub."""


class Build(Protocol):
    """What each recipe's module offers under the name `build`."""

    def __call__(
        self, source: Path, out: Path, *, limit: int | None, seed: int, link: bool, **options: Any
    ) -> dict[str, int]:
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
    kind: str = "Own and drawn data, and what is made from examples"
    """Heading in `--list`."""
    card: Card | None = None
    """What is known of a public data set."""


def _public(name: str, card: Card) -> Recipe:
    return Recipe(module_of(name), card.title, kind=card.kind, card=card)


RECIPES: dict[str, Recipe] = {
    "choices": Recipe("data_recipes.choices", "multiple choice from the open questions of an example file"),
    "csv": Recipe("data_recipes.table", "a table of questions or reports, its columns named on the command line"),
    "curriculum": Recipe("data_recipes.curriculum", "an example file in stages from easy to hard"),
    "dicom_folder": Recipe("data_recipes.dicom_folder", "DICOM studies with their reports, without patients' names"),
    "evidence_pairs": Recipe(
        "data_recipes.evidence_pairs", "better and worse answers with and without picture and evidence"
    ),
    "feedback": Recipe("data_recipes.feedback", "what people said of answers: preference pairs and corrected examples"),
    "guidelines": Recipe("data_recipes.guidelines", "a folder of Markdown, text or PDF guidelines"),
    "manifest": Recipe("data_recipes.manifest", "a folder of images with manifest.jsonl"),
    "mixture": Recipe("data_recipes.mixture", "several example files joined with weights", needs_source=False),
    "phantom_pairs": Recipe(
        "data_recipes.phantom_pairs", "drawn pictures that differ in one fact, in pairs", needs_source=False
    ),
    "prerequisites": Recipe("data_recipes.prerequisites", "text questions on what an example file takes for known"),
    "rationales": Recipe("data_recipes.rationales", "answers and reports with the steps that lead to them"),
    "instruct": Recipe("data_recipes.instruct", "more questions, reports and evidence from an example file"),
    "preferences": Recipe("data_recipes.preferences", "pairs of a true and a spoilt answer from an example file"),
    "phantom_cards": Recipe(
        "data_recipes.phantom_cards", "drawn pictures with questions that only a card answers", needs_source=False
    ),
    "phantom": Recipe("data_recipes.phantom_recipe", "drawn pictures with exact truth", needs_source=False),
    **{name: _public(name, card) for name, card in CARDS.items()},
}


def build_data(
    name: str,
    source: Path | None,
    out: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    link: bool = False,
    allowed_leaks: Mapping[str, str] | None = None,
    **options: Any,
) -> dict[str, int]:
    """Build a data set into a new folder: all of it, or on any fault nothing.

    Args:
        name: key in `RECIPES`.
        source: what to read; None for a recipe that needs nothing, `hub` for a public set on the Hugging Face hub.
        out: folder to make; it must not exist, or be empty.
        limit: at most this many records.
        seed: decides every choice that is left to chance, 0 or more.
        link: put links to the images instead of copies, where the recipe copies any.
        allowed_leaks: kind of leak (`auditing.leaks.KINDS`) to the reason why it may be so.
        **options: the recipe's own, by name; those left out take their defaults.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: the name is unknown, a path is missing or taken, the data breaks its format, or the audit found a
            leak or a broken picture.
    """
    if name not in RECIPES:
        raise DataError(f"recipe {name!r} is unknown; use one of {', '.join(sorted(RECIPES))}.")
    recipe = RECIPES[name]
    if recipe.needs_source and source is None:
        raise DataError(f"recipe {name!r} reads a data set; say where it is with --source PATH.")
    if source == HUB and recipe.card is not None:
        from data_recipes.datasets.hub import snapshot

        source = snapshot(name)
    if source is not None and not source.exists():
        raise DataError(f"--source {source} does not exist; check the path.")
    if limit is not None and limit < 1:
        raise DataError(f"--limit is {limit}; use 1 or more.")
    if seed < 0:
        raise DataError(f"--seed is {seed}; use 0 or more.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"--out {out} is there already and not an empty folder; give a new one, or delete it first.")
    module = importlib.import_module(recipe.module)
    build = cast(Build, module.build)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        counts = build(cast(Path, source), work, limit=limit, seed=seed, link=link, **{**_defaults(module), **options})
        _audit(work, {**_declared(module, options), **(allowed_leaks or {})})
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
    given = sys.argv[1:] if arguments is None else arguments
    named = next((one for one in given if not one.startswith("-")), None)
    own = _add_own(parser, named) if named in RECIPES else []
    options = parser.parse_args(given)
    if options.list:
        _say(_listing())
        return 0
    if options.name is None or options.out is None:
        parser.error("give a recipe's NAME and --out DIR, or --list")
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s", force=True)
    logging.getLogger("data_recipes").setLevel(logging.INFO)  # libraries keep their progress to themselves
    began = time.perf_counter()
    try:
        from data_recipes.auditing.leaks import read_allowed

        counts = build_data(
            options.name,
            options.source,
            options.out,
            limit=options.limit,
            seed=options.seed,
            link=options.link,
            allowed_leaks=read_allowed(options.allow_leak),
            **{name: getattr(options, name) for name in own},
        )
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"{in_words(error)}\n")
        return 2
    logger.info("built %s in %.1f s", options.name, time.perf_counter() - began)
    _say("".join(f"{options.out / name}\t{count}\n" for name, count in counts.items()))
    return 0


def _declared(module: ModuleType, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the leaks that a recipe declares; splits that are asked for as published are taken as they are."""
    if options.get("splits") == "own":
        from data_recipes.auditing.leaks import KINDS

        return dict.fromkeys(KINDS, "the splits as published (--splits own)")
    return dict(getattr(module, "ALLOWED_LEAKS", {}))


def _audit(folder: Path, allowed: Mapping[str, str]) -> None:
    """Check what was built and write its data card; tell what a person should see."""
    from data_recipes.audit import check_build, summary

    findings = check_build(folder, allowed)
    for told in summary(findings) if findings else ():
        logger.warning("%s", told)


def _add_own(parser: argparse.ArgumentParser, name: str) -> list[str]:
    """Add a recipe's own options to the command line and return their names."""
    add = getattr(importlib.import_module(RECIPES[name].module), "add_options", None)
    if add is None:
        return []
    group = parser.add_argument_group(f"options of {name}")
    add(group)
    return [action.dest for action in group._group_actions]


def _defaults(module: ModuleType) -> dict[str, Any]:
    """Return a recipe's own options with their defaults, for callers that name none."""
    if not hasattr(module, "add_options"):
        return {}
    parser = argparse.ArgumentParser(add_help=False)
    module.add_options(parser)
    return {action.dest: action.default for action in parser._actions}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_recipes.build", description="Turn a data set into example files, one a split."
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a recipe; --list names them, NAME --help tells its own options"
    )
    parser.add_argument(
        "--source", type=Path, metavar="PATH|hub", help="the data set to read (phantom: none; hub: download it)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="new folder for the example files and images")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N records (phantom: N in all; default 1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="for choices by chance (default 0)")
    parser.add_argument("--link", action="store_true", help="link to the images instead of copying them")
    parser.add_argument(
        "--allow-leak",
        action="append",
        default=[],
        metavar="KIND=REASON",
        help="a leak between splits that must be (id, patient, image, near-image, question), and why",
    )
    parser.add_argument("--list", action="store_true", help="name the recipes and stop")
    return parser


def _listing() -> str:
    """Return the recipes by kind, each public set with its licence, home and how sure its layout is."""
    lines: list[str] = []
    for kind in dict.fromkeys(recipe.kind for recipe in RECIPES.values()):
        lines.append(f"{kind}:")
        for name, recipe in sorted(RECIPES.items()):
            if recipe.kind == kind:
                lines.append(f"  {name:23} {recipe.summary}")
                if card := recipe.card:
                    hub = " · hub" if card.hub else ""
                    lines.append(f"{'':26}{card.licence} · {card.home} · layout seen: {_seen(card)}{hub}")
    return "\n".join(lines) + "\n"


def _seen(card: Card) -> str:
    return "no (unverified)" if card.verified == "layout unverified" else card.verified


def _say(text: str) -> None:
    """Write a result to standard output."""
    sys.stdout.write(text)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
