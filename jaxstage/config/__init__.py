"""Configs: the table of their keys, the default, files and overrides that change it, and the checks before a run."""

from jaxstage.config.defaults import Config, default, is_finetuning, rule_of, start_depths
from jaxstage.config.files import choose, load
from jaxstage.config.forms import differences, flatten, plain
from jaxstage.config.keys import FAMILIES, IMPORTANCES, KEYS, MAY_CHANGE, RULES, unknown_key
from jaxstage.config.validation import validate

__all__ = [
    "FAMILIES",
    "IMPORTANCES",
    "KEYS",
    "MAY_CHANGE",
    "RULES",
    "Config",
    "choose",
    "default",
    "differences",
    "flatten",
    "is_finetuning",
    "load",
    "plain",
    "rule_of",
    "start_depths",
    "unknown_key",
    "validate",
]
