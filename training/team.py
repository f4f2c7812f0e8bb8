"""Processes that train one model together: who they are, how they share a step, and how they sum what each has found.

`accelerate launch` and `torchrun` start them and tell each its place in environment variables; without these there is
one process, and nothing here does anything. Every process draws the same step from the same chance and takes its share
of it, so that a step is the same step however many take it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from assistant.errors import TrainingError
from training.sharding import is_sharded
from training.zero import check_launch

T = TypeVar("T")

# One process may decode a hundred thousand pictures while the others wait.
_PATIENCE = timedelta(hours=12)


@dataclass(frozen=True)
class Team:
    """One process's place among all."""

    rank: int = 0
    """Number of this process, from 0."""
    size: int = 1
    """How many there are."""
    local_rank: int = 0
    """Number of this process on its machine: which GPU it takes."""
    sharding: str = ""
    """What spreads the weights over the processes: "FSDP", "ZeRO-3"; nothing where each holds all of them."""

    @property
    def main(self) -> bool:
        """Whether this process writes what is written."""
        return self.rank == 0

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of the weights only."""
        return bool(self.sharding)

    @property
    def device(self) -> str:
        """Where this process computes, for `load_model`."""
        if self.size == 1:
            return "auto"
        return f"cuda:{self.local_rank}" if _on_gpu() else "cpu"

    @property
    def kind(self) -> str:
        """Kind of device that processes talk to each other from: "cpu" or "cuda"."""
        return _device_of_backend()

    def share(self, lengths: Sequence[int], parts: int) -> list[list[int]]:
        """Share a step out among processes, and each share into parts that are computed one after the other.

        Sequences of about the same length come into the same part, and parts of about the same length to all processes
        at the same time, so that little is padded and nobody waits. The loss of a step is a sum over its sequences, so
        the order changes nothing.

        Args:
            lengths: of the step's sequences.
            parts: for each process.
        Returns:
            This process's parts: places in `lengths`.
        Raises:
            TrainingError: there are fewer sequences than parts of all processes.
        """
        count = parts * self.size
        self.check(len(lengths), parts)
        order = list(range(len(lengths)))
        if count > 1:
            order.sort(key=lambda place: lengths[place])
        edges = [len(order) * number // count for number in range(count + 1)]
        chunks = [order[start:end] for start, end in zip(edges, edges[1:], strict=False)]
        return chunks[self.rank :: self.size]

    def check(self, step: int, parts: int) -> None:
        """Refuse a step that is too small to be shared out.

        Args:
            step: pictures, pairs or prompts of a step.
            parts: for each process.
        Raises:
            TrainingError: some process would have nothing to do in some part.
        """
        if step < parts * self.size:
            raise TrainingError(
                f"a step of {step} cannot be shared among {self.size} processes with accumulate {parts}; lower "
                f"accumulate to {max(1, step // self.size)} or less, or take {parts * self.size} or more a step."
            )

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes; the tensor itself may be changed."""
        if self.size > 1:
            here = tensor.to(_device_of_backend())
            dist.all_reduce(here)
            return here.to(tensor.device)
        return tensor

    def total(self, number: float) -> float:
        """Return the sum of a number over all processes."""
        return self.sum(torch.tensor(number, dtype=torch.float64)).item() if self.size > 1 else number

    def mean(self, told: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of each number over the processes that have it; NaN stands for having none.

        Args:
            told: the same names in every process.
        Returns:
            Numbers that at least one process has.
        """
        values = torch.tensor(list(told.values()), dtype=torch.float64)
        counts = self.sum((~values.isnan()).double())
        sums = self.sum(values.nan_to_num(0.0))
        return {name: (sums[i] / counts[i]).item() for i, name in enumerate(told) if counts[i]}

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, of equal shape, in the order of their numbers."""
        if self.size == 1:
            return [tensor]
        here = tensor.to(_device_of_backend())
        found = [torch.empty_like(here) for _ in range(self.size)]
        dist.all_gather(found, here)
        return [one.to(tensor.device) for one in found]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their sums over all processes.

        Weights that are sharded are left out: FSDP has summed them. One that has a gradient in no process gets none.

        Args:
            parameters: all that train, in the same order in every process.
        """
        if self.size == 1:
            return
        own = [one for one in parameters if not is_sharded(one)]
        if not own:
            return
        has = self.sum(torch.tensor([float(one.grad is not None) for one in own]))
        used = [one for one, count in zip(own, has.tolist(), strict=True) if count]
        if not used:
            return
        flat = torch.cat([_gradient(one).flatten().float() for one in used])
        dist.all_reduce(flat)
        for one, part in zip(used, flat.split([one.numel() for one in used]), strict=True):
            one.grad = part.view_as(one).to(one.dtype)

    def norm(self, gradients: Sequence[Tensor], pieces: Sequence[Tensor] = ()) -> Tensor:
        """Return the 2-norm over all gradients, whole ones (equal in all processes) and sharded ones.

        Args:
            gradients: of this process.
            pieces: this process's own, of others that are spread over all.
        Returns:
            A scalar, the same in every process.
        """
        whole = [one.float().square().sum() for one in gradients if not is_sharded(one)]
        local = [one.to_local() for one in gradients if is_sharded(one)]  # type: ignore[attr-defined]
        parts = [one.float().square().sum() for one in (*local, *pieces)]
        squares = torch.stack(whole).sum() if whole else torch.zeros((), device=(*gradients, *pieces)[0].device)
        if parts:
            squares = squares + self.sum(torch.stack(parts).sum().to(squares.device))
        return squares.sqrt()

    def copy_from_main(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the main one's values; sharded weights are left as they are."""
        if self.size > 1:
            for one in parameters:
                if not is_sharded(one):
                    dist.broadcast(one.data, src=0)

    def part_chances(self, seed: int) -> None:
        """Give each process but the main one its own chance for dropout, which would repeat itself otherwise."""
        if not self.main:
            torch.manual_seed(seed + self.rank)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run a block in the main process, and in the others when it is done there."""
        if self.size > 1 and not self.main:
            dist.barrier()
        yield
        if self.size > 1 and self.main:
            dist.barrier()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


def join() -> Team:
    """Take this process's place among those that were started together.

    Returns:
        The place; alone without a launcher.
    Raises:
        TrainingError: the launcher asks for what is not supported.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    zero = _is_true("ACCELERATE_USE_DEEPSPEED")
    if zero:
        check_launch(os.environ)
    if size == 1:
        return Team()
    place = int(os.environ.get("LOCAL_RANK", "0"))
    if _on_gpu():
        torch.cuda.set_device(place)
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if _on_gpu() else "gloo", timeout=_PATIENCE)
    sharding = "ZeRO-3" if zero else "FSDP" if _is_true("ACCELERATE_USE_FSDP") else ""
    return Team(dist.get_rank(), size, place, sharding)


def begin(threads: int, seed: int, step: int, parts: int) -> Team:
    """Join the other processes at the start of a stage, and set threads and chance.

    Args:
        threads: for torch on the CPU, 0 for its own choice.
        seed: of everything random.
        step: pictures, pairs or prompts of a step.
        parts: of each process's share.
    Returns:
        This process's place.
    Raises:
        TrainingError: the step is too small for so many processes, or the launcher asks for what is not supported.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    team = join()
    team.check(step, parts)
    return team


def leave() -> None:
    """End the connection to the other processes, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _is_true(name: str) -> bool:
    return os.environ.get(name, "").lower() == "true"


def _on_gpu() -> bool:
    return torch.cuda.is_available() and os.environ.get("ACCELERATE_USE_CPU", "").lower() not in ("1", "true")


def _device_of_backend() -> str:
    return "cuda" if _on_gpu() else "cpu"
