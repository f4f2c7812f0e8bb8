"""`ReportActor`: one model and what it needs to report on a batch, in a process that Ray starts."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from assistant.errors import WorklistError

if TYPE_CHECKING:
    from assistant.commands.opened import Opened, Opener
    from assistant.config import AssistantConfig
    from assistant.readahead import Prepared, RunSettings
    from assistant.studies import Study
    from assistant.worklist import Outcome


class ReportActor:
    """Hashes studies, reads their pictures and reports on them; it writes nothing.

    Ray calls it from several threads, so that files are read while the model is at work.
    """

    def __init__(self) -> None:
        self._model_turn = threading.Lock()
        self._opened: Opened | None = None

    def begin(self, open_assistant: Opener, config: AssistantConfig, folder: str, salt: bytes) -> tuple[str, ...]:
        """Load the model and the index.

        Args:
            open_assistant: loads them.
            config: names them.
            folder: where the run was started; relative paths count from there.
            salt: of the installation that started it, so that all machines make equal keys.
        Returns:
            Fingerprints of the model and of the index; without an index the first alone.
        Raises:
            WorklistError: this machine has no such folder.
        """
        from assistant.imaging.identity import take_salt
        from assistant.imaging.readers import import_readers

        try:
            os.chdir(folder)
        except OSError as error:
            raise WorklistError(
                f"The machine {os.uname().nodename} cannot enter {folder} ({error.strerror}). Inputs, model, index and "
                "this folder must lie on a drive that all machines have under the same name."
            ) from None
        take_salt(salt)
        import_readers()
        self._opened = open_assistant(config)
        index = self._opened.index_fingerprint
        return (self._opened.model_fingerprint, *([] if index is None else [index]))

    def keys(self, studies: Sequence[Study], settings: RunSettings) -> list[str]:
        """Return `readahead.study_key` of each study."""
        from assistant.readahead import study_key

        return [study_key(study, settings) for study in studies]

    def report(self, batch: Sequence[Prepared], settings: RunSettings) -> Outcome:
        """Read and report on claimed studies; see `worklist.report_batch`."""
        from assistant.readahead import picture_loader, with_pictures
        from assistant.worklist import report_batch

        if self._opened is None:
            raise ValueError("call begin first")
        load = picture_loader(settings)
        with ThreadPoolExecutor(settings.loaders, thread_name_prefix="load") as pool:
            ready = list(pool.map(lambda one: with_pictures(one, settings, load), batch))
        with self._model_turn:
            return report_batch(ready, self._opened.assistant, settings)
