"""Trains search and language model together on the likelihood of the answer.

For each question the text tower searches; the language model reads each passage found by itself and says how likely
the true answer is with it. A passage that makes the answer likelier is found sooner next time, and the model learns to
answer from what is found. After JMLR (Wang et al. 2024), with the losses of RAG (Lewis et al. 2020) and REPLUG (Shi et
al. 2023). An index that was made with the old text tower must be built again with the new one.
"""

from __future__ import annotations

from collections.abc import Sequence

from assistant.ending import run_command
from training.joint_settings import JointSettings, describe
from training.recipe import stage_main


def run(settings: JointSettings, resume: bool = False) -> None:
    """Run the stage; the model is written to `out/model`."""
    from training.joint_run import run_joint

    run_joint(settings, resume)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("joint", JointSettings, describe, run, argv)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
