"""Tunes connector and language model on questions, reports and dialogues; with `lora:` by adapters."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.ending import run_command
from training.recipe import stage_main
from training.settings import LlavaSettings, describe


def run(settings: LlavaSettings, resume: bool) -> None:
    """Run the stage."""
    from training.llava import run_stage

    run_stage(settings, resume)


def preview(settings: LlavaSettings) -> str:
    """Say in detail what the stage would do."""
    from training.preview import preview as whole

    return whole(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("sft", LlavaSettings, describe, run, argv, preview, together=True)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
