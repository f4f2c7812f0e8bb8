"""A program of its own: decodes frames with GDCM for `assistant.imaging.isolated`, which starts it.

GDCM ends the whole process when it meets some kinds of damage, so it never runs in the assistant's own process.
Requests come on standard input: one line of JSON (decoding options and `bytes`, the length of the frame), then the
frame. Answers go to standard output: one line of JSON (`shape` and `dtype`, or `failed`), then the pixels. Before
the first request it says that it is ready. The system ends it at a frame that takes more of a processor's time than it
is told to allow: time by the clock would tell of the machine, not of the frame.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import warnings
from typing import BinaryIO

READY = b'{"ready": true}\n'


def allow(seconds: float) -> None:
    """Let this process use so many more seconds of a processor, and no more (SIGXCPU, setrlimit(2)).

    Args:
        seconds: rounded up.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(used.ru_utime + used.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))


def serve(requests: BinaryIO, answers: BinaryIO, seconds: float) -> None:
    """Answer requests until there are no more.

    Args:
        requests: read to its end.
        answers: flushed after each answer.
        seconds: of a processor for each.
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
        allow(seconds)
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
    serve(sys.stdin.buffer, own_output, float(sys.argv[1]))
