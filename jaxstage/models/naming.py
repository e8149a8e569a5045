"""Names of the parts of a network: `stage2_block07` is the seventh block of the second stage."""

import re

HEAD = "head"  # the dense layer that makes the logits

# The BatchNorm that ends a block's residual branch. Growth sets its scale: at 0 the block computes the identity.
RESIDUAL_NORM = "residual_norm"

# What a block sows into the collection `intermediates`: its output before the ReLU that follows.
BLOCK_OUTPUT = "block_output"

_BLOCK = re.compile(r"stage(\d+)_block(\d+)")


def block_name(stage: int, block: int) -> str:
    """Name of a block; stage and block count from 0 here and from 1 in the name."""
    return f"stage{stage + 1}_block{block + 1:02d}"


def parse_block(name: str) -> tuple[int, int] | None:
    """(stage, block), both from 0, or None for what lies outside the stages (stem, head)."""
    match = _BLOCK.fullmatch(name)
    return match and (int(match[1]) - 1, int(match[2]) - 1)
