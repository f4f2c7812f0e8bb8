"""How a command ends: with an exit code and a line that says why, whatever has happened."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from assistant.errors import AssistantError

_FREE = "Free some space there, or choose another place, and give the same command again."
_WRITABLE = "Choose a place that you may read and write, or change its permissions."
MENDS = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EROFS: _WRITABLE,
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ELOOP: "A link there leads back to itself; remove it.",
    errno.EMFILE: "Too many files are open; raise the limit with `ulimit -n`.",
}
"""What a person can do about an error of the operating system."""


def in_words(error: BaseException) -> str:
    """Return an error in words: for one of the operating system what it is, of which file, and what to do.

    Args:
        error: any.
    Returns:
        One line or more.
    """
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}. {MENDS.get(error.errno or 0, '')}".rstrip()


def last_words(error: Exception) -> tuple[str, int]:
    """Return what `medassist` says of an error that no command has foreseen, and its exit code.

    Args:
        error: of the operating system, or a fault of the program.
    Returns:
        A line or two, and 2 for what a person can mend, else 1.
    """
    if isinstance(error, OSError) and error.errno in MENDS:
        return in_words(error), 2
    return (
        f"unexpected {type(error).__name__}: {error}\n"
        "This is a fault of the program. Run again with --verbose to see where, and `medassist doctor` to check."
    ), 1


def print_what(make: Callable[[], object]) -> int:
    """Do the work of a command that makes one thing, and print what it made; a person's mistake goes to stderr.

    Args:
        make: the work; what it returns is printed, a path for instance.
    Returns:
        Exit code: 0 done, 2 for what a person can mend.
    """
    try:
        made = make()
    except AssistantError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{made}\n")
    return 0


def run_command(main: Callable[[], int]) -> int:
    """Run a command, and end it in good order also when it is interrupted or the disk is full.

    Args:
        main: the command; it tells of its own mistakes itself.
    Returns:
        Its exit code; 130 after Ctrl-C, 2 when the operating system refuses what a person can mend.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # a bar of transformers' own for each file it writes
    try:
        return main()
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return 130
    except BrokenPipeError:  # the reader of stdout has gone, as in `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in MENDS:
            raise
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
