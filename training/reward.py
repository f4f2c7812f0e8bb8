"""Trains a model that tells how good an answer is, from pairs of a better and a worse one (Bradley-Terry)."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.ending import run_command
from training.recipe import stage_main
from training.reward_settings import RewardSettings, describe


def run(settings: RewardSettings, resume: bool) -> None:
    """Run the stage."""
    from training.reward_trainer import run_reward

    run_reward(settings, resume)


def preview(settings: RewardSettings) -> str:
    """Say in detail what the stage would do."""
    from training.preview_tuning import preview_reward

    return preview_reward(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("reward", RewardSettings, describe, run, argv, preview, together=True)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
