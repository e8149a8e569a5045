"""Stage-wise depth search for convolutional networks, in JAX and Flax.

    import jaxstage
    result = jaxstage.search(jaxstage.config.load("configs/digits.py"))
    module, variables, metadata = jaxstage.load("runs/digits")

Submodules are imported on first use, so `import jaxstage` itself costs next to nothing.
"""
import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "artefacts", "checkpoint", "config", "cost", "data", "export", "importance", "models", "report", "search", "train",
)  # fmt: skip


def __getattr__(name):
    if name == "load":
        return importlib.import_module("jaxstage.artefacts").load
    if name in _SUBMODULES:
        return importlib.import_module(f"jaxstage.{name}")
    raise AttributeError(f"module 'jaxstage' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), "load", *_SUBMODULES])
