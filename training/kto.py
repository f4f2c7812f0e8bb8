"""Tunes a model on answers judged one by one as wanted or not: KTO, against the model as it was."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.ending import run_command
from training.kto_settings import KtoSettings, describe
from training.recipe import stage_main


def run(settings: KtoSettings, resume: bool) -> None:
    """Run the stage."""
    from training.judged_answers import run_kto

    run_kto(settings, resume)


def preview(settings: KtoSettings) -> str:
    """Say in detail what the stage would do."""
    from training.preview_tuning import preview_kto

    return preview_kto(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("kto", KtoSettings, describe, run, argv, preview, together=True)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
