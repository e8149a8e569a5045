"""Stage-wise depth search for convolutional networks, in JAX and Flax.

    import jaxstage
    result = jaxstage.search(jaxstage.config.load("digits"))
    network = jaxstage.load(result.workdir)
    jaxstage.predict(network, ["three.png"])[0].label

Everything is imported on first use, so `import jaxstage` itself costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from jaxstage import config, cost, data, evaluate, export, importance, models, report, train, workdir
    from jaxstage.errors import UserError
    from jaxstage.prediction import Prediction, predict
    from jaxstage.result import Result, search
    from jaxstage.workdir.networks import Network, load

__all__ = [
    "Network",
    "Prediction",
    "Result",
    "UserError",
    "config",
    "cost",
    "data",
    "evaluate",
    "export",
    "importance",
    "load",
    "models",
    "predict",
    "report",
    "search",
    "train",
    "workdir",
]

_LIES_IN = {
    "Network": "workdir.networks",
    "load": "workdir.networks",
    "Result": "result",
    "search": "result",
    "UserError": "errors",
    "Prediction": "prediction",
    "predict": "prediction",
}


def __getattr__(name: str):
    if name in _LIES_IN:
        return getattr(importlib.import_module(f"jaxstage.{_LIES_IN[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"jaxstage.{name}")
    raise AttributeError(f"module 'jaxstage' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
