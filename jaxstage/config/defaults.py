"""The config that all others start from, and what its `auto` stands for."""

from typing import TYPE_CHECKING, Any

from ml_collections import config_dict

from jaxstage.config.keys import AUTO, KEYS
from jaxstage.config.moved import knowing_old_names

if TYPE_CHECKING:

    class Config(config_dict.ConfigDict):
        """A ConfigDict with the keys of `default`, which type checkers do not know."""

        def __getattr__(self, attribute: str) -> Any: ...
        def __setattr__(self, attribute: str, value: Any) -> None: ...
        def __getitem__(self, key: str) -> Any: ...
else:
    Config = config_dict.ConfigDict


def default() -> Config:
    """The config that every file in configs/ starts from; locked, so a misspelt key is an error.

    Its keys are those of `jaxstage.config.keys.KEYS`. Where the default is None, only values of one type can be set.
    """
    tree = {}
    for name, key in KEYS.items():
        section, _, last = name.rpartition(".")
        branch = tree.setdefault(section, {}) if section else tree
        branch[last] = config_dict.placeholder(key.optional) if key.default is None else key.default
        if key.also_tuple:
            branch[last] = config_dict.FieldReference(key.default, field_type=object)  # a number or a tuple
    return knowing_old_names(Config(tree)).lock()  # pyright: ignore[reportReturnType]


def start_depths(config: Config) -> tuple[int, ...]:
    """Where a search starts: at model.depths, or where that is less at growth.min_depth."""
    depths, least = tuple(config.model.depths), tuple(config.growth.min_depth)
    least *= len(depths) if len(least) == 1 else 1
    return tuple(map(min, depths, least)) if least else depths


def is_finetuning(config: Config) -> bool:
    """Whether what is inherited from a source trains at rates of its own: in a transfer, and in an elastic search."""
    elastic = config.task == "search" and config.source is not None and rule_of(config) == "elastic"
    return (config.task == "transfer" or elastic) and config.transfer.mode != "scratch"


def rule_of(config: Config) -> str:
    """The growth rule that a config searches by: what `auto` stands for, or its own."""
    if config.growth.rule != AUTO:
        return config.growth.rule
    about_scores = (config.growth.max_stages, config.growth.stop_probe) != (None, None)
    return "relative_rise" if about_scores or config.importance.method != "perturbation" else "elastic"
