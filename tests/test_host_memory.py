"""Page faults are counted by the kernel, so they can be compared where a clock cannot."""
import os
import subprocess
import sys

import pytest

from jaxstage import host_memory

STEPS = """
import os, resource, sys
from jaxstage import host_memory
if sys.argv[1] == "huge":
    host_memory.use_huge_pages()
import jax, jax.numpy as jnp
step = jax.jit(lambda x, w: (jnp.sin(x @ w) @ w).max())  # temporary buffers of 64 MiB
x, w = jnp.ones((2**18, 64)), jnp.ones((64, 64))
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step(x, w).block_until_ready()
before = faults()
for _ in range(3):
    step(x, w).block_until_ready()
print(sys.argv[1:], os.environ["GLIBC_TUNABLES"], faults() - before)
"""


def run_steps(*arguments, tunables="glibc.malloc.arena_max=4") -> str:
    environment = {**os.environ, "GLIBC_TUNABLES": tunables, "XLA_FLAGS": ""}
    command = [sys.executable, "-c", STEPS, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(
    not host_memory._KERNEL.exists() or "[madvise]" not in host_memory._KERNEL.read_text(),
    reason="the kernel offers no huge pages on request",
)
def test_huge_pages_spare_the_page_faults_of_a_step():
    small, huge = run_steps("small", "an argument"), run_steps("huge", "an argument")
    assert "'an argument'] glibc.malloc.arena_max=4:glibc.malloc.hugetlb=1" in huge
    assert int(huge.split()[-1]) < int(small.split()[-1]) / 10


def test_what_the_user_chose_stays():
    assert "] glibc.malloc.hugetlb=0 " in run_steps("huge", tunables="glibc.malloc.hugetlb=0")
