"""What there is to know of a config key, and the checks that several have: the columns of the table in keys.py."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Check(NamedTuple):
    """What a value has to fulfil by itself, and what to say where it does not."""

    holds: Callable[[Any], bool]
    remedy: str


AT_LEAST_1 = Check(lambda value: value >= 1, "must be at least 1")
ABOVE_0 = Check(lambda value: value > 0, "must be greater than 0")
NOT_NEGATIVE = Check(lambda value: value >= 0, "must not be negative")
BELOW_1 = Check(lambda value: 0 <= value < 1, "must be at least 0 and below 1")
SHARE = Check(lambda value: 0 <= value <= 1, "must lie between 0 and 1")
PROPER_SHARE = Check(lambda value: 0 < value < 1, "must lie between 0 and 1")
EVERY_STAGE = Check(
    lambda value: bool(value) and all(n >= 1 for n in value), "every stage needs a whole number of at least 1"
)
INT32 = 2**31 - 1  # the largest whole number of the devices
# Beyond these a network takes hours to compile, or fits into no memory; a ResNet of 1,202 layers has 600 blocks.
MOST_STAGES, MOST_BLOCKS, MOST_WIDTH = 100, 600, 2**16


@dataclass(frozen=True)
class Key:
    """What is known of a config key.

    Attributes:
      default: its value before a config file or --config.KEY=VALUE changes it.
      meaning: what it says, for docs/config.md and --help; a `|` between choices.
      optional: the type of its values, where it may also be None.
      choices: the values that it may have; (): any.
      own: whether it may name something of yours instead of a choice, see jaxstage/plugins.py.
      check: what its value has to fulfil, besides None where that is allowed.
      most: the largest whole number that it may be, or that its tuple may hold.
      items: the type of what its tuple holds.
      path: whether it names a place on this machine, so that it cannot be a URL.
      may_change: whether it may change between a kill and a resume, because it alters no result.
      families: the values of model.family that have it; (): all.
      each_stage: whether it may also be a tuple, with one value for each stage.
      height_width: whether it may also be a tuple of two, a height and a width.
    """

    default: Any
    meaning: str = ""
    optional: type | None = None
    choices: tuple[str, ...] = ()
    own: bool = False
    check: Check | None = None
    most: int = INT32
    items: type = int
    path: bool = False
    may_change: bool = False
    families: tuple[str, ...] = ()
    each_stage: bool = False
    height_width: bool = False

    @property
    def kind(self) -> type:
        """The type of its values."""
        return self.optional or type(self.default)

    @property
    def also_tuple(self) -> bool:
        """Whether it may be a tuple instead of one value."""
        return self.each_stage or self.height_width

    @property
    def hint(self) -> Any:
        """The same as an annotation, None included where that is allowed."""
        hint = tuple[self.items, ...] if self.kind is tuple else self.kind
        hint = hint | tuple[self.kind, ...] if self.also_tuple else hint
        return hint | None if self.optional else hint

    @property
    def explanation(self) -> str:
        """The meaning, with the choices where it does not mention them."""
        told = all(choice in self.meaning for choice in self.choices)
        return self.meaning if told else f"{self.meaning} (choices: {', '.join(self.choices)})"
