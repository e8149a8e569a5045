"""Whether malloc asks for huge pages. Whether the kernel has some to give at the moment is no matter of a test."""

import os
import subprocess
import sys

import pytest

from jaxstage.devices.cpu import host_memory

PROGRAM = """
import ctypes, os, re, sys
from jaxstage.devices.cpu import host_memory
if sys.argv[1] == "huge":
    host_memory.use_huge_pages()
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
address = malloc(64 * 2**20)
asked = False
for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", open("/proc/self/smaps").read(), flags=re.MULTILINE)[1:]:
    first, last = (int(end, 16) for end in mapping.split()[0].split("-"))
    if first <= address < last:
        asked = "hg" in re.search("VmFlags:(.*)", mapping)[1].split()
print(sys.argv[1:], os.environ["GLIBC_TUNABLES"], asked)
"""


def run(*arguments, tunables="glibc.malloc.arena_max=4") -> str:
    environment = {**os.environ, "GLIBC_TUNABLES": tunables}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(
    not host_memory._KERNEL.exists() or "[madvise]" not in host_memory._KERNEL.read_text(),
    reason="the kernel offers no huge pages on request",
)
def test_the_program_starts_itself_again_with_a_malloc_that_asks_for_huge_pages(monkeypatch):
    assert run("small", "an argument") == "['small', 'an argument'] glibc.malloc.arena_max=4 False"
    assert run("huge", "an argument") == (
        "['huge', 'an argument'] glibc.malloc.arena_max=4:glibc.malloc.hugetlb=1 True"
    )


def test_what_the_user_chose_stays():
    assert run("huge", tunables="glibc.malloc.hugetlb=0") == "['huge'] glibc.malloc.hugetlb=0 False"
