"""Tunes connector and language model on questions, reports and dialogues; with `lora:` by adapters."""

from __future__ import annotations

from collections.abc import Sequence

from training.recipe import stage_main
from training.settings import LlavaSettings, describe


def run(settings: LlavaSettings, resume: bool) -> None:
    """Run the stage."""
    from training.llava import run_stage

    run_stage(settings, resume)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("sft", LlavaSettings, describe, run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
