"""How the host's memory is handed out while JAX computes on the CPU."""

import importlib.util
import os
import pathlib
import signal
import sys

from jaxstage.devices.signals import SIGNALS

TUNABLES, _HUGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
_KERNEL = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
_ACCELERATORS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "libtpu")


def use_huge_pages() -> None:
    """Starts this program once more, with malloc asking for huge pages, where that makes training faster.

    XLA asks for the temporary buffers of a step, hundreds of megabytes, anew in every step, and the kernel clears them
    and hands them over page by page: 140,000 page faults in a step of depths (6, 6, 6) at batch 128, a quarter of its
    time. With pages of 2 MiB there are 1,200. glibc reads its tunables when a process starts, hence once more.
    """
    tunables = wanted_tunables()
    # The new program cannot answer signals at once: what comes meanwhile waits until it is here, too.
    signal.pthread_sigmask(signal.SIG_BLOCK if tunables else signal.SIG_UNBLOCK, SIGNALS)
    if tunables:
        os.environ[TUNABLES] = tunables
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def wanted_tunables() -> str | None:
    """The GLIBC_TUNABLES to start a process with, or None for those of this one.

    None where a choice is made already, the kernel does not offer huge pages on request (`madvise`), or an
    accelerator's plugin is installed.
    """
    tunables = os.environ.get(TUNABLES, "")
    offered = _KERNEL.exists() and "[madvise]" in _KERNEL.read_text()
    if not offered or "glibc.malloc.hugetlb" in tunables or any(map(importlib.util.find_spec, _ACCELERATORS)):
        return None
    return f"{tunables}:{_HUGE_PAGES}".lstrip(":")
