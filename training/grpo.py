"""Tunes a model by rewards that can be checked: GRPO, its kin, and RLOO."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.ending import run_command
from training.grpo_settings import GrpoSettings, describe
from training.recipe import stage_main


def run(settings: GrpoSettings, resume: bool) -> None:
    """Run the stage."""
    from training.policy import run_grpo

    run_grpo(settings, resume)


def preview(settings: GrpoSettings) -> str:
    """Say in detail what the stage would do."""
    from training.preview_tuning import preview_grpo

    return preview_grpo(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("grpo", GrpoSettings, describe, run, argv, preview, together=True)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
