"""Transfer: a found network and its trained weights, taken to other classes, another resolution, another stem.

What both networks have under the same name and in the same shape is inherited: stages, blocks, and the stem where it is
the same. The head is new unless the classes are the same ones. How it is trained then, by `transfer.mode`:

    mode       inherited parts                      new parts
    finetune   learning rate times transfer.rate    full learning rate
    head       frozen, BatchNorm in evaluation      full learning rate; the head must be the only new part
    scratch    nothing is inherited: the architecture alone, every part at the full learning rate

Under finetune, stages may have lower rates the earlier they are (transfer.layer_decay), what is inherited may stay as it
is for the first epochs (transfer.head_epochs), and its BatchNorms as in evaluation (transfer.frozen_statistics).

A search may go on at the target (task search with a source): its first candidate starts from the source, and blocks
that it adds start by inherit.method. An elastic search fine-tunes, at the rates of the table; where scores of importance
are compared, all candidates train at the full rate, which growth needs.

Task train with a source trains any network that the source has weights for: its own, for longer, or a state of its
elastic network, by `model.depths`.
"""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxstage import plugins
from jaxstage.config import Config, default, rule_of, validate
from jaxstage.config.keys import AUTO
from jaxstage.config.validation import check_limits
from jaxstage.errors import UserError
from jaxstage.files import local
from jaxstage.models import HEAD, parse_block
from jaxstage.models.stem import stem_for
from jaxstage.train import TrainState
from jaxstage.workdir import kept, networks

FILE = "transfer.json"
TARGETS_OWN = ("stem", "dtype")  # what a target chooses; everything else of a network is its source's


class Source(NamedTuple):
    """A finished run's network.

    Attributes:
      workdir: where it lies.
      variables: its params and batch_stats.
      metadata: its architecture.json.
    """

    workdir: str
    variables: Any
    metadata: dict


class Match(NamedTuple):
    """What a network takes from a source.

    Attributes:
      inherited: paths of leaves, of params and of batch_stats.
      new: the parts, or (part, layer, ...) joined by "/", that are not, and why.
      unused: the source's parts that the network does not have.
    """

    inherited: frozenset[tuple[str, ...]]
    new: dict[str, str]
    unused: tuple[str, ...]


def open_source(config: Config) -> Source | None:
    """The network that `config.source` names, or None if it names none.

    Raises:
      UserError: there is no finished run, its weights are damaged, or it is not trusted with code of its own.
    """
    if config.source is None:
        return None
    trust = plugins.trusted_by(config)
    _, variables, metadata = networks.load(config.source, trust)
    depths = tuple(config.model.depths)
    if config.task == "train" and depths != tuple(metadata["depths"]):
        variables, metadata = _state(str(config.source), depths, metadata, trust)
    return Source(str(config.source), variables, metadata)


def _state(source: str, depths: tuple[int, ...], final: dict, trust) -> tuple[Any, dict]:
    """The weights of a state of a source's elastic network, among others, and what there is to know of it."""
    own = f"config.model.depths={depths}: the network in {source} has depths {tuple(final['depths'])}"
    if not networks.exist(local(source, "config.source"), networks.ELASTIC):
        raise UserError(f"{own}, and there is no elastic network, which only growth.rule=elastic trains: give these")
    _, variables, metadata = networks.load(source, trust, networks.ELASTIC)
    lower, upper = metadata["lower"], metadata["depths"]
    if len(depths) != len(lower) or any(not low <= depth <= high for low, depth, high in zip(lower, depths, upper)):
        raise UserError(
            f"{own}, and its elastic network those from {tuple(lower)} to {tuple(upper)}: give some of these"
        )
    return variables, {**metadata, "depths": list(depths)}


def resolve(config: Config, source: Source | None, image_shape: tuple[int, int, int]) -> Config:
    """The config as it runs: the source's network in its `model` part, and the stem and the rule that `auto` stands for.

    Args:
      config: of the run; unchanged.
      source: where the network comes from, or None for the config's own.
      image_shape: of the data, (height, width, channels).
    """
    config = config.copy_and_resolve_references()
    if source is not None:
        model = {**default().model, **source.metadata["model"], "depths": source.metadata["depths"]}
        model = {key: tuple(value) if isinstance(value, list) else value for key, value in model.items()}
        with config.model.ignore_type():  # the copy knows the number of today where a tuple may come
            config.model.update({key: model[key] for key in config.model if key not in TARGETS_OWN})
    if config.model.stem == AUTO:
        config.model.stem = _usual_stem(source, min(image_shape[:2]))
    config.growth.rule = rule_of(config)
    validate(config)
    check_limits(config)
    return config


def _usual_stem(source: Source | None, resolution: int) -> str:
    """What `auto` stands for: the source's own, weights and all, where its resolution asks for the same as this one."""
    usual = stem_for(resolution)
    if source is not None and stem_for(min(source.metadata["input_shape"][:2])) == usual:
        return source.metadata["model"]["stem"]
    return usual


def match(variables: Any, source: Source, class_names: tuple[str, ...]) -> Match:
    """Compares a network with a source, leaf by leaf.

    Args:
      variables: params and batch_stats of the target, or their shapes.
      source: the trained network.
      class_names: of the target.
    """
    theirs, ours = _by_path(source.variables), _by_path(variables)
    inherited, new = set(), {}
    stem = ("params", "stem_conv", "kernel")
    other_stem = stem in theirs and _difference(theirs[stem].shape, ours[stem].shape)
    for path, leaf in ours.items():
        part = path[1]
        if part not in source.variables["params"]:
            new[part] = "the source has no such part"
        elif part == HEAD and (reason := _other_classes(tuple(source.metadata["class_names"]), class_names)):
            new[part] = reason
        elif part.startswith("stem") and other_stem:
            new[part] = f"another stem: kernel {other_stem}"
        elif path not in theirs:
            new["/".join(path[1:])] = "the source has no such parameter"
        elif reason := _difference(theirs[path].shape, leaf.shape):
            new["/".join(path[1:])] = f"shape {reason}"
        else:
            inherited.add(path)
    unused = sorted(set(source.variables["params"]) - set(variables["params"]))
    return Match(frozenset(inherited), dict(sorted(new.items())), tuple(unused))


def load(state: TrainState, source: Source, matched: Match) -> TrainState:
    """A fresh state with the source's values wherever they match; the optimizer starts afresh."""
    theirs = _by_path(source.variables)
    # Into buffers of their own: a step gives up its state, and another network may start from the same source.
    take = lambda path, leaf: jnp.array(theirs[_names(path)]) if _names(path) in matched.inherited else leaf
    variables = jax.tree_util.tree_map_with_path(take, {"params": state.params, "batch_stats": state.batch_stats})
    return state.replace(params=variables["params"], batch_stats=variables["batch_stats"])


def without_new_blocks(state: TrainState, source: Source) -> TrainState:
    """A state without the blocks that its source does not have, which are to begin as those that a search adds."""
    theirs = source.variables["params"]
    kept = lambda parts: {name: part for name, part in parts.items() if name in theirs or parse_block(name) is None}
    return state.replace(params=kept(state.params), batch_stats=kept(state.batch_stats))


def rates(params: Any, matched: Match, mode: str, rate: float, layer_decay: float = 1.0) -> Any:
    """The factor of each parameter's learning rate, shaped like `params`; see the table at the top.

    Under finetune `layer_decay` multiplies it once for every stage that follows: for the stem, for all of them.

    Raises:
      UserError: mode head, and the head is not the only new part.
    """
    if mode == "head" and (others := sorted(set(matched.new) - {HEAD})):
        raise UserError(
            f"config.transfer.mode='head' trains nothing but the head, and {others[0]} would keep its random values "
            f"({matched.new[others[0]]}): keep the source's stem with config.model.stem or use mode finetune"
        )
    blocks = {part: place for part in params if (place := parse_block(part))}
    stages = 1 + max((stage for stage, _ in blocks.values()), default=-1)

    def of_inherited(part: str) -> float:
        if mode == "head":
            return 1.0 if part == HEAD else 0.0
        follow = stages if part.startswith("stem") else stages - 1 - blocks[part][0] if part in blocks else 0
        return rate * layer_decay**follow

    def rate_of(path, _):
        return of_inherited(path[0].key) if ("params", *_names(path)) in matched.inherited else 1.0

    return jax.tree_util.tree_map_with_path(rate_of, params)


def held(params: Any, matched: Match) -> Any:
    """Which parameters are not trained while the new parts are brought up to the others, bool, shaped like `params`: what
    is inherited, without the head."""
    is_held = lambda path, _: path[0].key != HEAD and ("params", *_names(path)) in matched.inherited
    return jax.tree_util.tree_map_with_path(is_held, params)


def inherited_norms(matched: Match) -> frozenset[tuple[str, ...]]:
    """The paths of BatchNorms whose statistics are inherited."""
    return frozenset(path[1:-1] for path in matched.inherited if path[0] == "batch_stats")


def write(workdir: pathlib.Path, source: Source, matched: Match, warn: Callable[[str], None]) -> None:
    """Writes WORKDIR/transfer.json: the source, the digest of its weights, what was inherited and what was not.

    Raises:
      UserError: the run began with other weights of the same source.
    """
    path, sha = workdir / FILE, source.metadata["weights_sha256"]
    before = kept.read(path, lambda data: data["weights_sha256"])
    if before.value not in (None, sha):
        raise UserError(f"{source.workdir} has other weights than when {workdir} began: choose another --workdir")
    if before.value:
        kept.mend(path, before, warn)
    inherited = sorted("/".join(leaf) for leaf in matched.inherited)
    kept.write(
        path,
        {
            "source": source.workdir,
            "weights_sha256": sha,
            "inherited": inherited,
            "new": matched.new,
            "unused": matched.unused,
        },
    )


def summary(source: Source, matched: Match) -> list[str]:
    """What people are told of a transfer, a line each."""
    parts = sorted({path[1] for path in matched.inherited})
    data, depths = source.metadata["data"], tuple(source.metadata["depths"])
    lines = [
        f"from {source.workdir} (depths {depths}, trained on {data}): {len(matched.inherited)} arrays inherited, "
        f"in {', '.join(parts) or 'no part'}"
    ]
    lines += [f"  new: {part} ({why})" for part, why in matched.new.items()]
    return lines + [f"  left behind: {part}" for part in matched.unused]


def _other_classes(theirs: tuple[str, ...], ours: tuple[str, ...]) -> str | None:
    if len(theirs) != len(ours):
        return f"{len(theirs)} classes there, {len(ours)} here"
    return "the same number of classes, but different ones" if theirs != ours else None


def _difference(there: tuple[int, ...], here: tuple[int, ...]) -> str | None:
    return f"{there} there, {here} here" if there != here else None


def _by_path(tree: Any) -> dict[tuple[str, ...], Any]:
    return {_names(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _names(path) -> tuple[str, ...]:
    return tuple(part.key for part in path)
