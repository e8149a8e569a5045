"""From a command's flags to a config, and on to the run of it."""

import difflib
import json
from collections.abc import Sequence

import click

from jaxstage.cli.ends import quiet
from jaxstage.cli.options import OURS
from jaxstage.config import Config
from jaxstage.config import files as config_files
from jaxstage.errors import UserError
from jaxstage.files import local, there
from jaxstage.workdir import architecture

OWN_PROCESS = "own process"  # which the command may start once more, see `use_huge_pages`; a caller's it may not


def run_task(
    task: str,
    usual_config: str | None = None,
    *,
    config: str | None,
    overrides: tuple[str, ...],
    workdir: str | None = None,
    dry_run: bool = False,
    **cluster,
) -> None:
    """Does what `python -m jaxstage.main` does with the same flags, with this task and, if one is given, its source."""
    from jaxstage.devices.cpu.host_memory import use_huge_pages
    from jaxstage.run import run

    file = config or usual_config and config_files.ours(usual_config)
    takes_source = usual_config is not None
    if task != "evaluate" and click.get_current_context().obj is OWN_PROCESS:
        use_huge_pages()
    chosen, rest = read_config(task, file, overrides, arguments=int(takes_source))
    if rest:
        chosen.source = rest[0]
    if takes_source and chosen.source is None:
        raise UserError(f"which finished run? Give its work directory: jaxstage {task} WORKDIR")
    quiet()
    name = config_files.find(file or "")
    order = ("coordinator", "num_processes", "process_id")
    result = run(chosen, name, workdir, tuple(cluster.get(flag) for flag in order), dry_run)
    if result is not None:
        print(json.dumps(result), flush=True)


def read_config(task: str, file: str | None, overrides: tuple[str, ...], arguments: int = 0) -> tuple:
    """The config of a command with this task, and the arguments, at most so many, that are no overrides."""
    from jaxstage.config import overrides as config_overrides

    if file is None:
        raise UserError("--config is missing: try --config=digits; jaxstage configs lists all")
    _require_ours(overrides)
    chosen, rest = config_overrides.read(file, overrides)
    chosen.task = task
    take_depths(chosen, overrides)
    if len(rest) > arguments:
        raise UserError(f"unexpected argument {rest[arguments]!r}: flags are written --name=value; try --help")
    return chosen, rest


def take_depths(config: Config, arguments: Sequence[str]) -> None:
    """Has task train go on with its source's own network, unless the arguments name other depths."""
    named = any(argument.lstrip("-").startswith("config.model.depths") for argument in arguments)
    whole = {"task", "source", "model"} <= set(config)  # if it is not, the run will say so
    if named or not whole or config.task != "train" or config.source is None:
        return
    path = local(config.source, "config.source") / "final" / architecture.FILE
    if there(path):  # likewise
        found = architecture.read(path)
        config.model.depths, config.model.widths = tuple(found["depths"]), tuple(found["widths"])


def _require_ours(arguments: tuple[str, ...]) -> None:
    """Raises a usage error for a flag that neither the command nor the config has."""
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("-") and not name.startswith((OURS, "--noconfig.")) and not _is_number(name):
            known = [option for param in click.get_current_context().command.params for option in param.opts]
            raise click.NoSuchOption(name, possibilities=difflib.get_close_matches(name, known, n=1, cutoff=0.5))


def _is_number(text: str) -> bool:
    return text[1:2].isdigit()


def of_a_search(*, config: str | None, overrides: tuple[str, ...], **flags) -> dict:
    """The flags of `train`, with the config of the search whose network is to be trained if no config is named."""
    key = f"{OURS}source="
    named = [argument.removeprefix(key) for argument in overrides if argument.startswith(key)]
    is_value = lambda before: before.startswith("--") and "=" not in before  # what follows belongs to that flag
    given = [one for before, one in zip(("", *overrides), overrides) if one[:1] != "-" and not is_value(before)]
    if config is None and (named or given):
        config = config_files.ours(f"train:{(named or given)[0]}")
        overrides = tuple(argument for argument in overrides if named or argument != given[0])
    return {"config": config, "overrides": overrides, **flags}
