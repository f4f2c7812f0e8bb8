"""Tunes a model's text tower for retrieval: questions find their passages, pictures their reports.

The tower learns by contrast with the rest of the batch and with hard negatives: passages that hold a question's words
and do not answer it. A table tells recall before and after, on questions and pictures that were held out. An index
that was made with the old tower must be built again with the new one.
"""

from __future__ import annotations

from collections.abc import Sequence

from assistant.ending import run_command
from training.recipe import stage_main
from training.tower_settings import TowerSettings, describe


def run(settings: TowerSettings, resume: bool = False) -> None:
    """Run the stage; the model is written to `out/model`."""
    from training.tower_run import run_tower

    run_tower(settings, resume)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("tower", TowerSettings, describe, run, argv)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
