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
import warnings

import jax

from jaxstage.devices.caches import unfit
from jaxstage.errors import JaxstageWarning, UserError, first_line

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
    library = _opened(_compiler())
    for name in (CONVOLUTION, WEIGHT_GRADIENT):
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX") or "c++")


def _opened(compiler: list[str]) -> ctypes.CDLL:
    """The library, compiled if it is not there yet, or not whole.

    Where the cache cannot be trusted or written, it is compiled for this process alone.
    """
    macros = _run([*compiler, "-march=native", "-dM", "-E", "-x", "c++", os.devnull])  # of the compiler and the CPU
    name = hashlib.sha256("\0".join([SOURCE.read_text(), macros, jax.__version__, *_OPTIONS]).encode()).hexdigest()
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = pathlib.Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "jaxstage" / "native"
    path = folder / f"{name[:16]}.so"
    why = unfit(folder) or path.is_file() and unfit(path)
    if not why:
        try:
            if not _is_whole(path):
                _compile(compiler, path)
            return ctypes.CDLL(str(path))
        except OSError as error:
            why = f"{path} cannot be used ({error.strerror or first_line(error)}): mend that"
    note = f"{why}, or set $XDG_CACHE_HOME; the convolutions of config.convolutions='native' are compiled for this run alone"
    warnings.warn(note, JaxstageWarning, stacklevel=2)
    try:
        with tempfile.TemporaryDirectory(prefix="jaxstage-") as own:
            _compile(compiler, pathlib.Path(own) / path.name)
            return ctypes.CDLL(str(pathlib.Path(own) / path.name))
    except OSError as error:
        raise UserError(f"config.convolutions='native': {first_line(error)}; mend that, or use 'xla'") from error


def _compile(compiler: list[str], path: pathlib.Path) -> None:
    """Makes the library, with its own digest at its end, where the loader does not look."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:  # another process may be doing the same
        made = pathlib.Path(scratch) / path.name
        _run([*compiler, *_OPTIONS, f"-I{jax.ffi.include_dir()}", str(SOURCE), "-o", str(made)])
        code = made.read_bytes()
        made.write_bytes(code + hashlib.sha256(code).digest())
        made.replace(path)


def _is_whole(path: pathlib.Path) -> bool:
    """Whether the library is there as it was written: what is not would take the interpreter down with it."""
    if not path.exists():
        return False
    data = path.read_bytes()
    return hashlib.sha256(data[:-32]).digest() == data[-32:]


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
