"""Run by `test_killed.py`: change an index, killed at one point after another, and look at it each time.

A point is a call that opens, renames, links or removes something beside the index. The child is ended by a real SIGKILL
before that call; the parent then opens the index as any reader would.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from assistant.errors import RetrievalError
from retrieval import swap
from retrieval.corpus import read_corpora
from retrieval.retriever import IndexRetriever
from retrieval.write import add_passages, build_index, delete_documents

EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "shutil.rmtree")


def _encoder():
    spec = importlib.util.spec_from_file_location("retrieval_conftest", Path(__file__).parent / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.HashingEncoder()


def _die_at(point: int, folder: Path) -> None:
    """End this process without warning at the `point`th event below a folder that may write."""
    left = [point]

    def hook(event: str, arguments: tuple) -> None:
        if event not in EVENTS or not str(arguments[0]).startswith(str(folder)):
            return
        if event == "open" and not (arguments[1] and set(str(arguments[1])) & set("wax+")):
            return
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _act(action: str, index: Path, corpora: Path, encoder) -> None:
    if action == "build":
        build_index(read_corpora([corpora / "new"]), encoder, index)
    elif action == "add":
        add_passages(index, read_corpora([corpora / "new"]).passages, encoder)
    else:
        delete_documents(index, encoder, ids=["old-0"])


def _ids(index: Path, encoder) -> list[str]:
    retriever = IndexRetriever.open(index, encoder)
    found = retriever.search("pleural effusion fluid", k=20)
    assert found, "the index answers nothing"
    return sorted(retriever.index.record(row).id for row in range(len(retriever.index)))


def main(action: str, folder: Path, corpora: Path, plain_rename: bool, step: int) -> None:
    """Print what a reader met after a kill at each point, and after the change that was left to finish."""
    encoder = _encoder()
    if plain_rename:
        swap._exchange = lambda one, other: False
    outcomes = []
    for point in range(1, 500, step):
        work = folder / f"{point}"
        index = work / "index"
        build_index(read_corpora([corpora / "old"]), encoder, index)
        child = os.fork()
        if child == 0:
            _die_at(point, work)
            try:
                _act(action, index, corpora, encoder)
            finally:
                os._exit(7 if sys.exc_info()[0] else 0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        assert killed or status == 0, status
        after = _ids(index, encoder)
        if killed:
            # The same call again must do the whole job, whatever the first left behind.
            try:
                _act(action, index, corpora, encoder)
            except RetrievalError as error:
                if "another passage has it already" not in str(error):
                    raise
        outcomes.append({"killed": killed, "after": after, "again": _ids(index, encoder)})
        outcomes[-1]["left"] = sorted(path.name for path in work.iterdir())
        shutil.rmtree(work)
        if not killed:
            break
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "plain", int(sys.argv[5]))
