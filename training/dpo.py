"""Tunes a model on pairs of a better and a worse answer: DPO and its kin, against the model as it was."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.ending import run_command
from training.preference_settings import DpoSettings, describe
from training.recipe import stage_main


def run(settings: DpoSettings, resume: bool) -> None:
    """Run the stage."""
    from training.preference import run_dpo

    run_dpo(settings, resume)


def preview(settings: DpoSettings) -> str:
    """Say in detail what the stage would do."""
    from training.preview_tuning import preview_dpo

    return preview_dpo(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("dpo", DpoSettings, describe, run, argv, preview, together=True)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
