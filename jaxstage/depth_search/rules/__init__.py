"""Growth rules: what a round of the search is, and which stages it makes deeper. One file a rule.

A rule is an object with two things: `noun`, what its evidence is called, and

    decide(record, config, cost_of) -> what to compute next, or the record after a decision

which is asked while the search goes on, with at least the start among the record's candidates. It opens rounds and
closes them, and ends the search by giving the record a stop_reason.
"""

from typing import Protocol

from jaxstage import plugins
from jaxstage.config import rule_of
from jaxstage.depth_search.actions import Action
from jaxstage.depth_search.limits import CostOf
from jaxstage.depth_search.rules import absolute_rise, elastic, lowest_score, relative_rise
from jaxstage.errors import UserError
from jaxstage.workdir.record import Record


class Rule(Protocol):
    """See the top."""

    @property
    def noun(self) -> str: ...

    def decide(self, record: Record, config, cost_of: CostOf) -> Action | Record: ...


RULES: dict[str, Rule] = {
    "elastic": elastic.RULE,
    "relative_rise": relative_rise.RULE,
    "absolute_rise": absolute_rise.RULE,
    "lowest_score": lowest_score.RULE,
}


def of(config) -> Rule:
    """The rule that a config names, one of RULES or somebody's own.

    Raises:
      UserError: it cannot be imported, or is none.
    """
    name = rule_of(config)
    if not plugins.is_own(name):
        return RULES[name]
    rule = plugins.find(name)
    if not isinstance(getattr(rule, "noun", None), str) or not callable(getattr(rule, "decide", None)):
        raise UserError(f"{name} is {plugins.shown(rule)}: expected a growth rule, with a noun and a method decide")
    if config.growth.stop_probe is not None and not hasattr(rule, "is_clear"):
        raise UserError(
            f"config.growth.stop_probe={config.growth.stop_probe}: {name} has no method is_clear; leave it out"
        )
    return rule
