"""`Busy`: what a request is told that finds no room in the queue."""

from __future__ import annotations


class Busy(Exception):
    """The queue takes no more, of this client or of anyone."""

    def __init__(self, waiting: int, retry_after_s: float, *, own: bool) -> None:
        """Say so.

        Args:
            waiting: requests that wait already.
            retry_after_s: when to come again.
            own: whether they are this client's own.
        """
        whose = "Your" if own else "The server is busy:"
        super().__init__(f"{whose} {waiting} requests wait already. Try again in {max(1, round(retry_after_s))} s.")
        self.retry_after_s, self.own = max(1.0, retry_after_s), own
