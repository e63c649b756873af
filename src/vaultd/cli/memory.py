"""What is in this process's memory stays there: keys and tokens are not to be found in the file of a crash.

No core file is written, and other processes of the same user may not look inside (on Linux): a debugger or a profiler
that is to be attached needs root then.
"""

from __future__ import annotations

import os
import sys

from vaultd.errors import ConfigurationError

OPT_OUT = "VAULTD_CORE_DUMPS"
_PR_SET_DUMPABLE = 4  # prctl(2)


def keep_memory_private() -> None:
    """Turn core dumps off, unless VAULTD_CORE_DUMPS is 1. A process that is started does it for itself once more.

    Raises:
        ConfigurationError: the system does not let us.
    """
    if os.environ.get(OPT_OUT) == "1":
        return
    try:
        _no_core_file()
        if sys.platform == "linux":
            _not_dumpable()
    except OSError as error:
        remedy = f"{OPT_OUT}=1 starts vaultd with them."
        raise ConfigurationError(f"Core dumps cannot be turned off ({error.strerror}). {remedy}") from None


def _no_core_file() -> None:
    import resource  # noqa: PLC0415 - not there on every platform

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _not_dumpable() -> None:
    import ctypes  # noqa: PLC0415 - for Linux only, and not for `vaultd --help`

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
