"""A program of its own: decodes frames with GDCM for `assistant.imaging.isolated`, which starts it.

GDCM ends the whole process when it meets some kinds of damage, so it never runs in the assistant's own process.
Requests come on standard input: one line of JSON (decoding options and `bytes`, the length of the frame), then the
frame. Answers go to standard output: one line of JSON (`shape` and `dtype`, or `failed`), then the pixels. Before
the first request it says that it is ready.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import BinaryIO

READY = b'{"ready": true}\n'


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more.

    Args:
        requests: read to its end.
        answers: flushed after each answer.
    """
    import numpy as np
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    warnings.simplefilter("ignore")
    answers.write(READY)
    answers.flush()
    while line := requests.readline():
        options = json.loads(line)
        frame = requests.read(options.pop("bytes"))
        try:
            options["transfer_syntax_uid"] = syntax = UID(options["transfer_syntax_uid"])
            source = encapsulate([frame], has_bot=False)
            pixels, _ = get_decoder(syntax).as_array(source, index=0, decoding_plugin="gdcm", **options)
        except Exception:  # whatever is wrong with the frame; the other side knows what to say
            answers.write(b'{"failed": true}\n')
        else:
            answer = {"shape": pixels.shape, "dtype": pixels.dtype.str}
            answers.write(json.dumps(answer).encode() + b"\n" + np.ascontiguousarray(pixels).tobytes())
        answers.flush()


if __name__ == "__main__":
    own_output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a native library prints must not get between the answers
    serve(sys.stdin.buffer, own_output)
