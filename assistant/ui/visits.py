"""`Visits`: who is signed in, until when, and which files and event streams are whose."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

IDLE_S = 30 * 60.0
"""A visit without a request ends after this time."""
LONGEST_S = 12 * 3600.0
"""A visit ends after this time in any case."""
MOST_EACH = 10
"""Visits of one person at once; one more ends the oldest."""
_REMEMBERED = 20_000

# New with every process, as the temporary folder is: a tag from an earlier run opens nothing.
_SECRET = secrets.token_bytes(32)


def owner_tag(user: str | None) -> str:
    """Return how the file names of one person's previews begin; nobody can work out another's."""
    return hmac.new(_SECRET, (user or "").encode(), hashlib.sha256).hexdigest()[:24]


@dataclass
class _Visit:
    user: str
    began: float
    last: float


class Visits:
    """Remembers visits in memory; a restart ends them all.

    Args:
        idle_s: see `IDLE_S`.
        longest_s: see `LONGEST_S`.
        clock: seconds; another one for tests.
    """

    def __init__(
        self, idle_s: float = IDLE_S, longest_s: float = LONGEST_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.longest_s = longest_s
        self._idle_s, self._clock = idle_s, clock
        self._lock = threading.Lock()
        self._visits: dict[str, _Visit] = {}
        self._files: OrderedDict[str, set[str]] = OrderedDict()
        self._streams: OrderedDict[str, str] = OrderedDict()
        self._public: set[str] = set()

    def begin(self, user: str) -> str:
        """Sign somebody in; returns the token for her cookie, of which only a hash is kept."""
        token, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._forget(now)
            mine = [key for key, visit in self._visits.items() if visit.user == user]
            for key in mine[: max(0, len(mine) + 1 - MOST_EACH)]:
                del self._visits[key]
            self._visits[_hashed(token)] = _Visit(user, now, now)
        return token

    def user_of(self, token: str | None) -> str | None:
        """Return who sent this token, None once the visit is over; asking keeps the visit alive."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            visit = self._visits.get(_hashed(token)) if token else None
            if visit is None:
                return None
            visit.last = now
            return visit.user

    def end(self, token: str | None) -> None:
        """Sign somebody out."""
        with self._lock:
            self._visits.pop(_hashed(token or ""), None)

    def _forget(self, now: float) -> None:
        over = [
            key
            for key, visit in self._visits.items()
            if now - visit.last > self._idle_s or now - visit.began > self.longest_s
        ]
        for key in over:
            del self._visits[key]

    def publish(self, folder: Path) -> None:
        """Let everybody see the files that are in a folder now: the page's own, before the first visit."""
        self._public.update(str(path.resolve()) for path in folder.rglob("*") if path.is_file())

    def uploaded(self, user: str, path: str) -> None:
        """Note whose upload a file is; equal files of two people are both's."""
        with self._lock:
            self._files.setdefault(str(Path(path).resolve()), set()).add(user)
            while len(self._files) > _REMEMBERED:
                self._files.popitem(last=False)

    def may_read(self, user: str, path: str) -> bool:
        """Tell whether a file is this person's, or the page's own."""
        found = Path(path).resolve()
        if str(found) in self._public or found.name.startswith(f"{owner_tag(user)}-"):
            return True
        with self._lock:
            return user in self._files.get(str(found), ())

    def may_listen(self, user: str, stream: str) -> bool:
        """Tell whether an event stream is this person's; whoever opens it first owns it."""
        with self._lock:
            owner = self._streams.setdefault(stream, user)
            self._streams.move_to_end(stream)
            while len(self._streams) > _REMEMBERED:
                self._streams.popitem(last=False)
            return owner == user


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
