"""convolution.cc as a shared library: compiled once for this CPU, then found in the user's cache."""

import ctypes
import functools
import hashlib
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

import jax

from jaxstage.errors import UserError

SOURCE = pathlib.Path(__file__).with_name("convolution.cc")
CONVOLUTION, WEIGHT_GRADIENT = "jaxstage_convolution", "jaxstage_weight_gradient"  # names in it, and to XLA
FILTERS = 4  # they take multiples of so many
_OPTIONS = ("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-w")


def advisable(config) -> bool:
    """Whether a run by this config would be much faster with the kernels, and nothing stands in their way here.

    Depthwise convolutions, most of a mobile network's time, are not theirs.
    """
    model = config.model
    fits = config.convolutions == "xla" and model.family == "resnet" and model.dtype == "float32"
    one_cpu = jax.default_backend() == "cpu" and (config.devices or jax.device_count()) == 1
    return fits and one_cpu and shutil.which(_compiler()[0]) is not None


@functools.cache
def load() -> None:
    """Makes the kernels known to XLA, after compiling them if this machine has not yet, which takes some seconds.

    The compiler is $CXX, or c++. The library goes to jaxstage/native/ in $XDG_CACHE_HOME, or ~/.cache, under a name
    that depends on the source, the compiler, the CPU and JAX's headers.

    Raises:
      UserError: JAX computes on something else, or the kernels cannot be compiled.
    """
    if (backend := jax.default_backend()) != "cpu":
        raise UserError(f"config.convolutions='native': it is for CPUs, and JAX uses {backend} here; use 'xla'")
    library = ctypes.CDLL(str(_compiled(_compiler())))
    for name in (CONVOLUTION, WEIGHT_GRADIENT):
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX") or "c++")


def _compiled(compiler: list[str]) -> pathlib.Path:
    """Where the library lies; compiled if it is not there yet."""
    macros = _run([*compiler, "-march=native", "-dM", "-E", "-x", "c++", os.devnull])  # of the compiler and the CPU
    name = hashlib.sha256("\0".join([SOURCE.read_text(), macros, jax.__version__, *_OPTIONS]).encode()).hexdigest()
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "jaxstage" / "native"
    path = folder / f"{name[:16]}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # another process may be doing the same
            made = pathlib.Path(scratch) / path.name
            _run([*compiler, *_OPTIONS, f"-I{jax.ffi.include_dir()}", str(SOURCE), "-o", str(made)])
            made.replace(path)
    return path


def _run(command: list[str]) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        why = next((line for line in said if "error" in line), said[0] if said else "it failed")
        raise UserError(
            f"config.convolutions='native' needs a C++ compiler, and {command[0]} says: {why}; "
            "install one, name it in $CXX, or use 'xla'"
        ) from error
