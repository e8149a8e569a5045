"""What networks of any depths cost, from counting a few: to try thousands of depths, counting each takes too long."""

import functools
from collections.abc import Callable

from jaxstage.config import Config, plain, start_depths
from jaxstage.cost import Cost, count
from jaxstage.cost.latency import Table
from jaxstage.data.dataset import Unread, open_split
from jaxstage.data.sources import TRAIN, Source
from jaxstage.depth_search.limits import depth_limits, over_budget
from jaxstage.depths import Depths
from jaxstage.models import build

BUDGETS = ("max_macs", "max_parameters", "max_latency_ms")
FAR = 3  # blocks more at every stage, where the sum is compared with a count


def image_shape(data: Config, source: Source) -> tuple[int, int, int]:
    """(height, width, channels) of the images that networks get; of a set that is held in memory no image is read.

    Raises:
      UserError: the images do not fit the config's `data` part.
    """
    split = open_split(data, source, TRAIN, unread=True)
    return source.image_shape if isinstance(split, Unread) else split.image_shape


def counting(config: Config, image_shape: tuple[int, int, int], classes: int) -> Callable[[Depths], Cost]:
    """The cost of a config's network by its depths; none below those where its search starts."""
    model = plain(config.model)
    counted = functools.cache(lambda depths: count(build(model, depths, classes), image_shape))
    return adding(start_depths(config), counted)


def adding(start: Depths, count: Callable[[Depths], Cost]) -> Callable[[Depths], Cost]:
    """The cost of any depths from `start` on, by few counts.

    A stage's blocks are alike from the second after its start on, so these add up. The first may differ, also by what
    is before it: the second cell of NASNet takes what comes from the stage before. Where a network far off shows that
    costs do not add up so, as in a model family of your own, each is counted.

    Args:
      start: the shallowest depths that will be asked for.
      count: counts a network; asked for the same depths again, it should know them.
    """
    second = tuple(depth + 1 for depth in start)

    def add(depths: Depths) -> Cost:
        near = tuple(map(min, depths, second))
        beyond = [(stage, depth - own) for stage, (depth, own) in enumerate(zip(depths, near)) if depth > own]
        blocks = [(tuple(number + (at == stage) for at, number in enumerate(second)), more) for stage, more in beyond]
        of = lambda depths, field: getattr(count(depths), field)
        extra = lambda field: sum(more * (of(deeper, field) - of(second, field)) for deeper, more in blocks)
        fields = [field for field in Cost._fields if field != "latency_ms"]
        return Cost(*(of(near, field) + extra(field) for field in fields))

    far = tuple(depth + FAR for depth in start)
    return add if add(far) == count(far) else count


def timed(cost_of: Callable[[Depths], Cost], table: Table | None) -> Callable[[Depths], Cost]:
    """The same cost, with what networks take by a table of latencies, if there is one."""
    return (lambda depths: cost_of(depths)._replace(latency_ms=table.latency(depths))) if table else cost_of


def has_budget(config: Config) -> bool:
    """Whether the config limits the cost of the network that is found."""
    return any(config.growth.get(key) is not None for key in BUDGETS)


def within(config: Config, macs: int | None, cost_of: Callable[[Depths], Cost]) -> Callable[[Depths], bool]:
    """Whether depths are within the limits and budgets of a config.

    Args:
      config: its `growth` part counts.
      macs: the budget of one that has none.
      cost_of: the cost of a network by its depths.
    """
    growth = config.copy_and_resolve_references().growth
    if not has_budget(config):
        growth.max_macs = macs
    limits = depth_limits(len(config.model.depths), growth)
    below = lambda depths: all(map(lambda depth, limit: depth <= limit, depths, limits))
    return lambda depths: below(depths) and over_budget(cost_of(depths), growth) is None
