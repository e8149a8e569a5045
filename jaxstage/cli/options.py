"""What the commands share: the group that they are in, their flags, and completion."""

import difflib

import click
from click.shell_completion import CompletionItem

from jaxstage.config import files as config_files

OURS = "--config."  # what begins so is for the config, not for click


class Commands(click.Group):
    """A group that names the nearest command when it does not know one."""

    def resolve_command(self, ctx, args):
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1, cutoff=0.4)
            hint = f": did you mean {close[0]}?" if close else f": choose one of {', '.join(self.list_commands(ctx))}"
            raise click.UsageError(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


class Task(click.Command):
    """A command that takes --config.KEY=VALUE for every config key besides its own flags."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, context_settings={"ignore_unknown_options": True}, **kwargs)

    def shell_complete(self, ctx, incomplete):
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("--c"):
            from jaxstage.config import default, flatten

            keys = (f"{OURS}{key}=" for key in flatten(default()))
            found += [CompletionItem(key) for key in keys if key.startswith(incomplete)]
        return found


def complete_config(ctx, param, incomplete: str) -> list[str]:
    known = [f"{one.name}{preset}" for one in config_files.known() for preset in ("", *(f":{p}" for p in one.presets))]
    return [name for name in known if name.startswith(incomplete)]


config_flag = click.option(
    "--config",
    metavar="NAME|FILE[:PRESET]",
    shell_complete=complete_config,
    help="What to do; `jaxstage configs` lists the names.",
)
workdir_flag = click.option("--workdir", metavar="DIR", help="Where the run keeps everything; without it below runs/.")
dry_run_flag = click.option(
    "--dry_run", is_flag=True, help="Only tell what would be trained, with guesses of time and disk."
)
trust_flag = click.option("--trust_source", is_flag=True, help="Import code that WORKDIR names, MODULE:FUNCTION.")
overrides = click.argument("overrides", nargs=-1, type=click.UNPROCESSED, metavar="[--config.KEY=VALUE]...")


def cluster_flags(command):
    """Several hosts, the same command on each."""
    for flag in (
        click.option("--process_id", type=int, metavar="I", help="Which of them this is."),
        click.option("--num_processes", type=int, metavar="N", help="Processes that run together."),
        click.option("--coordinator", metavar="HOST:PORT", help="Process 0 of several hosts, or auto."),
    ):
        command = flag(command)
    return command


def run_flags(command):
    for flag in (overrides, cluster_flags, dry_run_flag, workdir_flag, config_flag):
        command = flag(command)
    return command
