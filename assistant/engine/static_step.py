"""`StaticSteps`: a step of every row at fixed addresses and shapes, which a GPU replays as one CUDA graph.

A step of one token is hundreds of small kernels, and on a GPU most of its time goes into starting them one by one. A
CUDA graph starts them all at once, but only over the same memory each time. So the keys and values of a batch move into
a room of fixed size; the step attends to the whole room, where a mask hides what is empty, and writes at a column that
is itself a tensor. Everything else (rows that leave or join, room that becomes too small) works on that room as before.

Without the graph it is the same step, on any device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from assistant.engine.cache import KeyValues

if TYPE_CHECKING:
    from assistant.engine.batch import Batch

logger = logging.getLogger(__name__)

Compute = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Cache], torch.Tensor]
"""Given (R,) tokens, (R,) positions, the (R, C) mask and the cache, returns the (R, V) logits in float32."""

_LEAST_COLUMNS = 256
_MOST_HELD = 3
"""Rooms of other sizes that are kept for the next batch; each holds the keys and values of a whole batch."""
_SPARE = 4
"""A batch that has shrunk to this part of its room moves into a smaller one."""


class FixedLayer(CacheLayerMixin):
    """Keys and values of one layer in a room that never moves; R rows, C columns.

    Args:
        room: keys and values, (R, H, C, D) each, of finite numbers.
        column: (1,) int64, where the next token is written.
    """

    is_sliding = False

    def __init__(self, room: list[torch.Tensor], column: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room, self._column = room, column
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Do nothing: the room is there."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write (R, H, 1, D) keys and values at the column; return the whole room."""
        for room, new in zip(self.room, (key_states, value_states), strict=True):
            room.index_copy_(2, self._column, new)
        return self.room[0], self.room[1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return that a pass sees every column of the room."""
        return self.room[0].shape[2], 0

    def get_seq_length(self) -> int:
        """Return the number of columns before the newest token, as if the room were full."""
        return self.room[0].shape[2] - 1

    def get_max_length(self) -> int:
        """Return the number of columns."""
        return self.room[0].shape[2]


class StaticStep:
    """A step for up to R rows of up to C columns.

    Args:
        compute: runs the language model.
        cache: a batch that is to move in: its layers tell the shapes.
        rows: R.
        columns: C.
        captured: whether to replay it as a CUDA graph.
    """

    def __init__(self, compute: Compute, cache: KeyValues, rows: int, columns: int, *, captured: bool) -> None:
        device = cache.mask.device
        self.rows, self.columns, self._compute, self._captured = rows, columns, compute, captured
        self._tokens, self._positions = torch.zeros((2, rows), dtype=torch.long, device=device)
        self._column = torch.zeros(1, dtype=torch.long, device=device)
        self._seen = torch.zeros((rows, columns), dtype=torch.bool, device=device)
        self.rooms = [
            # Zeros, not whatever lies in memory: what the mask hides must still be finite.
            [one.new_zeros((rows, one.shape[1], columns, one.shape[3])) for one in layer.room]
            for layer in cache.own
        ]
        self._cache = Cache(layers=[FixedLayer(room, self._column) for room in self.rooms])
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits = torch.zeros(0)
        self._owner: ReferenceType[KeyValues] | None = None

    @property
    def owner(self) -> KeyValues | None:
        """The batch whose keys and values lie here."""
        held = self._owner() if self._owner is not None else None
        return held if held is not None and held.lies_in(self.rooms) else None

    def adopt(self, cache: KeyValues) -> None:
        """Let a batch's keys and values move in."""
        self._seen.zero_()
        cache.move(self.rooms, self._seen)
        self._owner = ref(cache)

    def __call__(self, batch: Batch, tokens: torch.Tensor) -> torch.Tensor:
        """Add one token to every row of the batch that lives here.

        Args:
            batch: B rows; its cache and counts grow.
            tokens: (B,).
        Returns:
            (B, V) float32.
        """
        rows = len(tokens)
        self._tokens[:rows], self._positions[:rows] = tokens, batch.counts
        self._column.fill_(batch.cache.length)
        batch.cache.written()
        batch.counts = batch.counts + 1
        if self._captured and self._graph is None:
            self._capture()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._logits = self._run()
        return self._logits[:rows].clone()

    def _run(self) -> torch.Tensor:
        # Places without a row see the newest column too: a softmax over nothing is no number.
        self._seen.index_fill_(1, self._column, True)
        return self._compute(self._tokens, self._positions, self._seen, self._cache)

    def _capture(self) -> None:
        """Record the step; where that cannot be done, it runs kernel by kernel."""
        try:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(2):  # libraries choose their kernels and make their buffers on first use
                    self._run()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._logits = self._run()
            self._graph = graph
        except RuntimeError as error:
            self._captured = False
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            logger.warning("steps run kernel by kernel: no CUDA graph could be recorded (%s)", reason)


class StaticSteps:
    """The steps of one language model, for the sizes that its batches have had.

    Args:
        compute: runs the language model.
        captured: whether steps are replayed as CUDA graphs.
    """

    def __init__(self, compute: Compute, *, captured: bool) -> None:
        self._compute, self._captured = compute, captured
        self.made: list[StaticStep] = []
        """The latest last."""

    def advance(self, batch: Batch, tokens: torch.Tensor) -> torch.Tensor:
        """Add one token to every row of a batch; as `StaticStep.__call__`."""
        step = self._step(batch.cache)
        if not self.made or self.made[-1] is not step:
            self.made = [*(one for one in self.made if one is not step), step][-_MOST_HELD:]
        return step(batch, tokens)

    def _step(self, cache: KeyValues) -> StaticStep:
        rows, columns = len(cache.mask), cache.length + 1
        wanted = (_rows(rows), _columns(columns))
        here = next((one for one in self.made if one.owner is cache), None)
        if here is not None and rows <= here.rows <= _SPARE * wanted[0] and columns <= here.columns:
            return here
        free = (one for one in self.made if (one.rows, one.columns) == wanted and one.owner is None)
        step = next(free, None)
        if step is None:
            step = StaticStep(self._compute, cache, *wanted, captured=self._captured)
        step.adopt(cache)
        return step


def _rows(rows: int) -> int:
    """Return the next power of two."""
    return 1 << (rows - 1).bit_length()


def _columns(columns: int) -> int:
    """Return the next of 256, 384, 512, 768, 1024, …: few sizes, and at most a third of a room stays empty."""
    size = _LEAST_COLUMNS
    while size < columns:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size
