"""Processes that end when the one that started them does."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

_LOOK = 0.5  # seconds between looks for the parent
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_watched: set[int] = set()


def end_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """See that this process ends, by a signal, when its parent does, however that ends.

    Linux can be asked to do it; elsewhere a thread looks. To be called again after a fork; once more does no harm.
    """
    if os.getpid() in _watched:
        return
    _watched.add(os.getpid())
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, by)
        return

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os.kill(os.getpid(), by)

    threading.Thread(target=look, daemon=True).start()
