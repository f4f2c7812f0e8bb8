"""A run's own folder: resolved recipe, versions, data hashes, metrics, and the state to resume from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import TrainingError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "transformers", "peft", "open_clip_torch", "timm", "tokenizers", "safetensors", "numpy")


def file_hash(path: Path) -> str:
    """Return the sha256 of a file, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that a result depends on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")
    os.replace(partial, path)


class RunFolder:
    """Where one training run writes.

    Args:
        path: made if absent.
        settings: the stage's settings, written out in full.
        inputs: files whose content the run depends on; their hashes are kept.
        resume: go on in a folder that already holds a state.
        writes: whether this process writes; where several train together, one does.
    Raises:
        TrainingError: the folder already holds a finished or unfinished run and `resume` is off, or `resume` is on
            and the recipe or the data changed since.
    """

    def __init__(
        self, path: Path, settings: Any, *, inputs: Iterable[Path] = (), resume: bool = False, writes: bool = True
    ) -> None:
        self.path, self.writes = path, writes
        if not writes:
            return
        record = {
            "recipe": json.loads(json.dumps(dataclasses.asdict(settings), default=str)),
            "data": {str(one): file_hash(one) for one in inputs if one.is_file()},
        }
        marker = path / "run.json"
        if marker.exists():
            before = json.loads(marker.read_text(encoding="utf-8"))
            if not resume:
                raise TrainingError(f"{path} already holds a run. Add --resume to go on, or choose another `out`.")
            changed = [key for key in ("recipe", "data") if before.get(key) != record[key]]
            if changed:
                was, now = (one.get("recipe", {}) for one in (before, record))
                keys = [key for key in now if was.get(key) != now[key]]
                values = f" ({', '.join(f'{key}: {was.get(key)} -> {now[key]}' for key in keys)})" if keys else ""
                raise TrainingError(
                    f"{path} cannot be resumed: its {' and '.join(changed)} changed since it was started{values}. "
                    "Undo the change, or start a new run in another `out`."
                )
        path.mkdir(parents=True, exist_ok=True)
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        write_json(marker, {**record, "versions": versions(), "started": started})

    def settle(self, name: str, choose: Callable[[], Any]) -> Any:
        """Return what was chosen for this run before, or choose now and keep it, so that a resumed run goes on with it.

        Args:
            name: of the choice.
            choose: gives a value that JSON can hold.
        Returns:
            The value.
        """
        path = self.path / "settled.json"
        settled = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if name not in settled:
            settled[name] = choose()
            if self.writes:
                write_json(path, settled)
        return settled[name]

    def log(self, step: int, **values: float | str) -> None:
        """Append one line of metrics."""
        if not self.writes:
            return
        line = json.dumps({"step": step, "time": round(time.time(), 1), **values})
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        told = " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items())
        logger.info("step %d %s", step, told)

    def save_state(self, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
        """Keep what is needed to go on: tensors in one safetensors file, numbers in its header, renamed into place."""
        from safetensors.torch import save_file

        if not self.writes:
            return
        partial = self.path / "state.safetensors.partial"
        plain = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
        save_file(plain, partial, metadata={"numbers": json.dumps(numbers)})
        os.replace(partial, self.path / "state.safetensors")

    def has_state(self) -> bool:
        """Tell whether there is a state to go on from."""
        return (self.path / "state.safetensors").exists()

    def load_state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Return what `save_state` kept, or None if there is nothing."""
        from safetensors import safe_open

        path = self.path / "state.safetensors"
        if not path.exists():
            return None
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            numbers = json.loads(file.metadata()["numbers"])
        return tensors, numbers
