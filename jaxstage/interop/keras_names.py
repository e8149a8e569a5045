"""How the Keras models of "Stage-Wise Neural Architecture Search" name their layers, and where those lie in Flax.

Residual: `Conv2D_<stage>_<block>_<iteration>_<number>`, BatchNorm1_ likewise; numbers 1 and 2 are the block's
convolutions, 3 its shortcut. Cells: `normal_conv_1_<cell>`, `separable_conv_2_bn_normal_left1_<cell>` and the like;
cells count through the network, and the reduction cell after n normal cells is called `reduce_<n>`.
"""

import re
from collections.abc import Iterable

from jaxstage.models import RESIDUAL_NORM, parse_block

_RESIDUAL = re.compile(r"(Conv2D|BatchNorm1)_(\d+)_(\d+)_\d+_(\d+)")
_RESIDUAL_PARTS = {
    "conv1": "Conv2D_{}_{}_*_1",
    "norm1": "BatchNorm1_{}_{}_*_1",
    "conv2": "Conv2D_{}_{}_*_2",
    RESIDUAL_NORM: "BatchNorm1_{}_{}_*_2",
    "shortcut_conv": "Conv2D_{}_{}_*_3",
}
_OUTSIDE = {
    "resnet": {"stem_conv": "Conv2D_", "stem_norm": "BatchNorm1_", "head": "dense_*"},
    "nasnet": {"stem_conv": "stem_conv1", "stem_norm": "stem_bn1", "head": "predictions"},
}
_WEIGHTS = {"kernel": "kernel", "bias": "bias", "scale": "gamma", "mean": "moving_mean", "var": "moving_variance"}


def canonical(name: str) -> str:
    """A Keras layer's name without what counts sessions and iterations: that part becomes `*`.

    Raises:
      ValueError: it is no name that a layer could have.
    """
    if not isinstance(name, str) or len(name) > 100:
        raise ValueError(f"a layer's name is {str(name)[:40]!r}")
    if match := _RESIDUAL.fullmatch(name):
        return "{}_{}_{}_*_{}".format(*match.groups())
    return re.sub(r"^dense_\d+$", "dense_*", name)


def recognise(names: Iterable[str]) -> tuple[str, tuple[int, ...], str] | None:
    """(family, depths, stem) of the network whose layers have these canonical names, or None if it is neither kind."""
    names = list(names)

    def numbers(pattern):
        return {tuple(map(int, m.groups())) for m in map(re.compile(pattern).fullmatch, names) if m}

    if blocks := numbers(r"(?:Conv2D|BatchNorm1)_(\d{1,3})_(\d{1,3})_\*_\d+"):
        stages = 1 + max(stage for stage, _ in blocks)
        deepest = [max((block for stage, block in blocks if stage == wanted), default=0) for wanted in range(stages)]
        return "resnet", tuple(block + 1 for block in deepest), "cifar"
    if cells := numbers(r"(?:\w+_)?normal_(?:conv_1|bn_1|left\d|right\d)_(\d{1,3})"):
        cuts = sorted(cut for (cut,) in numbers(r"\w*reduction_\w+_reduce_(\d{1,3})"))
        ends = [*cuts, max(cells)[0] + (0 if cuts else 1)]
        stem = "imagenet" if "reduction_conv_1_stem_1" in names else "cifar"
        return "nasnet", tuple(end - start for start, end in zip([0, *ends], ends)), stem
    return None


def keras_weight(path: tuple[str, ...], family: str, depths: tuple[int, ...]) -> tuple[str, str]:
    """(canonical layer name, weight name) in Keras of a leaf of a module's variables.

    Args:
      path: collection, module names, leaf name: ("params", "stage1_block01", "conv1", "kernel").
      family: resnet or nasnet.
      depths: of the network.
    """
    outer, *inner, leaf = path[1:]
    weight = "beta" if leaf == "bias" and "norm" in path[-2] else _WEIGHTS[leaf]
    if outer in _OUTSIDE[family]:
        return _OUTSIDE[family][outer], weight
    if family == "resnet":
        return _RESIDUAL_PARTS[inner[0]].format(*parse_block(outer)), weight
    layer, suffix = _cell_layer(*_cell(outer, depths), *inner)
    return layer, f"{suffix}_{weight}" if suffix else weight


def _cell(outer: str, depths: tuple[int, ...]) -> tuple[str, str]:
    """(kind, what ends the names of its layers) of a cell."""
    if block := parse_block(outer):
        stage, index = block
        return "normal", str(sum(depths[:stage]) + index + (stage > 0))
    number = int(re.search(r"\d+", outer)[0])
    return "reduction", f"stem_{number}" if outer.startswith("stem") else f"reduce_{sum(depths[: number - 1])}"


def _cell_layer(kind: str, end: str, part: str, inner: str = "") -> tuple[str, str]:
    """(layer name, prefix of its weights' names) of a part of a cell."""
    if part in ("conv", "norm"):
        return f"{kind}_{'conv' if part == 'conv' else 'bn'}_1_{end}", ""
    if part == "adjust":
        adjust = {"conv": "conv_projection", "conv1": "conv_1", "conv2": "conv_2", "norm": "bn"}
        return f"adjust_{adjust[inner]}_{end}", ""
    branch = "1" if (kind, part) == ("reduction", "right1") else part
    operation, number = inner[:-1], inner[-1]
    if operation == "norm":
        return f"separable_conv_{number}_bn_{kind}_{branch}_{end}", ""
    return f"separable_conv_{number}_{kind}_{branch}_{end}", operation
