"""Copy an index into a database: `python -m retrieval.migrate INDEX TARGET`.

INDEX is an index folder or a database, TARGET a database that is empty: `lance:FOLDER` (LanceDB, larger than memory;
extra `lance`) or `postgresql://user@host/database?schema=NAME` (PostgreSQL with pgvector; extra `pg`). Nothing is
embedded again. A target is served only once it is whole; what an earlier run left unfinished is filled anew.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError, ConfigError

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or a database that cannot be filled."""
    parser = argparse.ArgumentParser(
        prog="python -m retrieval.migrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", help="index folder, or a database to copy from")
    parser.add_argument("target", help="lance:FOLDER or postgresql://…")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        result = _migrate(arguments.index, arguments.target)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    if arguments.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        sys.stdout.write(
            f"copied {result['records']} records to {result['target']} in {result['seconds']} s, "
            f"fingerprint {result['fingerprint']}\n"
        )
    return 0


def _migrate(index: str, target: str) -> dict[str, Any]:
    from retrieval.stores.open import is_store, open_store
    from retrieval.stores.write import copy_index, source_of

    if not is_store(target):
        raise ConfigError(
            f"The target {target!r} is no database; write lance:FOLDER or postgresql://…. For an index folder run "
            "python -m retrieval.build."
        )
    started = time.perf_counter()
    source = open_store(index) if is_store(index) else source_of(index)
    store = open_store(target)
    try:
        head = copy_index(source, store, _report)
    finally:
        store.close()
    return {
        "target": store.name,
        "records": head.records,
        "fingerprint": head.fingerprint,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _report(done: int, total: int) -> None:
    if done == total or done % 4096 == 0:
        logger.info("copied %d of %d records", done, total)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
