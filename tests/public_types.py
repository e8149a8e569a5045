"""What people write with jaxstage. It is read by a type checker, see test_project_files.py, and never run."""

from pathlib import Path

import jax
import numpy as np
from flax import linen as nn

import jaxstage
from jaxstage import Network, Prediction, Result, UserError, load, predict, search
from jaxstage.data.sources import from_arrays
from jaxstage.export import export
from jaxstage.importance import Scores, Trained
from jaxstage.models import build, resnet

config = jaxstage.config.load("digits", {"growth.max_rounds": 2})
config.data.name = "cifar10"
config.model.depths = (1, 1, 1)
config.optimizer.learning_rate *= 2

result: Result = search(config, Path("runs/one"))
again: Result = jaxstage.search(jaxstage.config.default())
depths: tuple[int, ...] = result.depths
accuracy: float = result.test_accuracy
rounds: list = result.history["rounds"]

network: Network = load(result.workdir, trust=True)
module, variables, metadata = jaxstage.load("runs/one")
classes: list[str] = metadata["class_names"]
flax_module: nn.Module = module

predictions: list[Prediction] = predict(network, ["a.png", Path("b.jpg")])
predict("runs/one", np.zeros((2, 8, 8, 3), np.uint8), batch_size=2)
daisy: float = jaxstage.predict(network, "a.png")[0].probabilities["daisy"]

told: float = export("runs/one", "stablehlo", out="folder")["largest_difference"]
cost: int = jaxstage.cost.count(resnet((1, 1), num_classes=2, widths=(4, 8))).macs
built: nn.Module = build({"family": "resnet", "widths": (4, 8)}, (1, 1), 2)


def my_importance(trained: Trained, key: jax.Array) -> Scores:
    return Scores((tuple(1.0 for _ in trained.depths),))


source = from_arrays(("a", "b"), (np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int32)))

try:
    jaxstage.evaluate.evaluate(config)
except UserError as error:
    print(error)
