"""Trains the BiomedCLIP-shaped encoder: pictures with captions, categories, drawn truth, and pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.ending import run_command
from training.contrast_settings import ContrastSettings, describe
from training.recipe import stage_main

__all__ = ["ContrastSettings", "describe", "main", "run"]


def run(settings: ContrastSettings, resume: bool = False) -> None:
    """Run the stage; the encoder is written to `out/encoder`."""
    from training.contrast_run import run_contrast

    run_contrast(settings, resume)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("contrast", ContrastSettings, describe, run, argv)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
