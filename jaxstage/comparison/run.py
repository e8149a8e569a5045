"""A comparison as one story: the searches, what they lead to, and a table of all.

runs/compare-digits-1a2b3c4d/
  latency.json          what blocks take here, with a budget of latency and no table of one's own: one for all runs
  lowest_score/seed0/   a work directory like any other, as `jaxstage search` makes it; seed0.log beside it
  uniform/seed0/        likewise of `jaxstage train`
  compare.json compare.html
"""

import itertools
import pathlib
import textwrap
import urllib.parse
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from rich.table import Table

from jaxstage.comparison import arms, cells, costs, processes, table
from jaxstage.comparison.cells import Cell, Grid, Setting
from jaxstage.config import Config, rule_of, validate
from jaxstage.config import files as config_files
from jaxstage.cost import latency
from jaxstage.data.sources import is_jpeg, open_source
from jaxstage.depth_search import rules
from jaxstage.depth_search.transfer import resolve
from jaxstage.devices.signals import stop_on_signal
from jaxstage.errors import UserError
from jaxstage.files import local, there, write_json
from jaxstage.report import text
from jaxstage.report.console import Reporter
from jaxstage.report.html import page
from jaxstage.report.html.collect import COMPARISON, Run, collect_run
from jaxstage.run import with_pictures
from jaxstage.workdir import record as records
from jaxstage.workdir.claim import RECORD, default_name, occupy, require_same

RESULT, PAGE = COMPARISON, "compare.html"
NARROW = 12  # characters of a heading on the console: accuracies with their intervals need the room


class Asked(NamedTuple):
    """What was asked for.

    Attributes:
      file: the config, FILE[:PRESET].
      overrides: of its keys, as the command line has them.
      given: names of the arms with commas between, or None for those that come along.
      seeds: how many; the config's and those after it.
      jobs: runs side by side, or None for as many as there are GPUs, else one.
      workdir: where all is kept, or None for a directory under runs/ that belongs to this config.
    """

    file: str
    overrides: Sequence[str]
    given: str | None
    seeds: int
    jobs: int | None
    workdir: str | None


def compare(config: Config, asked: Asked, dry_run: bool = False) -> dict:
    """Runs what is not finished yet and tells what came out.

    Example:
      config, asked = jaxstage.config.load("digits"), Asked("digits", [], "search,uniform", 3, None, None)
      compare(config, asked, dry_run=True)["runs"][0]  # {'arm': 'relative_rise', 'seed': 0, 'task': 'search', ...}

    Args:
      config: what `asked.file` and `asked.overrides` make.
      asked: what was asked for.
      dry_run: whether only to tell what would run.

    Returns:
      `arms`, a row each as `jaxstage.comparison.table.row` has it, and what they depend on; plain data.

    Raises:
      UserError: something does not fit, or a run failed.
      Stopped: a signal came; everything is saved, and the same call continues.
    """
    config, reporter = with_pictures(config), Reporter()
    place = local(asked.workdir or _usual_place(asked.file, config), "--workdir")
    config, asked = _with_latencies(config, asked, place)
    setting = resolve_setting(config, asked)
    if there(place / RECORD):
        raise UserError(f"--workdir={place}: that is the work directory of one run: choose another for the comparison")
    if dry_run:
        return preview(setting, place, reporter)
    with occupy(place), stop_on_signal() as stop_signal:
        pool = _pool(asked.jobs, stop_signal)
        together = text.counted(pool.at_once, "run")
        reporter.say(f"comparison: {place}, {together} at a time")
        if _lacks_latencies(config):
            _measure_latencies(asked, place, pool, reporter)
            config, asked = _with_latencies(config, asked, place)
            setting = resolve_setting(config, asked)
        make = partial(_make, setting, asked, place, pool, reporter)
        searches = cells.searches(setting)
        runs = make(searches, len(setting.rows) * len(setting.seeds) - len(searches))
        trainings = cells.trainings(setting, runs)
        for (arm, seed), cell in trainings.items():
            if arm != cell.arm:
                reporter.say(f"{arm}, seed {seed}: the same depths as {cell.arm}, so that run counts for both")
        runs |= make(trainings, 0)
        return conclude(setting, asked, runs, place, reporter)


def resolve_setting(config: Config, asked: Asked) -> Setting:
    """Everything that is compared, checked before anything runs."""
    if config.source is not None:
        raise UserError(f"config.source={config.source!r}: a comparison trains from scratch: leave it out")
    if (patience := config.final.patience) is not None:
        raise UserError(f"config.final.patience={patience}: networks that end early do not cost the same: leave it out")
    config = config.copy_and_resolve_references()
    config.task = "search"
    names = arms.chosen(asked.given, rule_of(config))
    validate(config)
    source = open_source(config.data.name, config.data.dir)
    shape = costs.image_shape(config.data, source)
    config = resolve(config, None, shape)
    seeds = tuple(range(config.seed, config.seed + asked.seeds))
    counted = costs.counting(config, shape, len(source.class_names))
    setting = Setting(config, names, seeds, costs.timed(counted, latency.given(config, shape)))
    for cell in cells.searches(setting).values():
        validate(cell.config(config))
        rules.of(cell.config(config))  # one of somebody's own is told now
    return setting


def preview(setting: Setting, place: pathlib.Path, reporter: Reporter) -> dict:
    """Says which runs there would be, with depths where the budget or a finished search tells them."""
    searches = cells.searches(setting)
    done = {key: run for key, cell in searches.items() if (run := _finished(setting, place, cell))}
    rows = []
    for arm, seed in itertools.product(setting.rows, setting.seeds):
        found = {other: run for (other, of), run in done.items() if of == seed}
        searching = (arm, seed) in searches
        if searching:
            depths = found[arm].record.final.depths if arm in found else None
        else:
            depths = cells.depths_of(setting, arm, seed, found)
        rows.append({"arm": arm, "seed": seed, "task": "search" if searching else "train", "depths": depths})
    shown = Table(title=f"runs in {place}; nothing is written", title_justify="left")
    for heading in ("arm", "seed", "task", "depths"):
        shown.add_column(heading)
    for row in rows:
        unknown = "to be found" if row["task"] == "search" else "depend on what runs before"
        known = text.depths(row["depths"]) if row["depths"] else unknown
        shown.add_row(row["arm"], str(row["seed"]), row["task"], known)
    reporter.console.print(shown)
    reporter.say("training runs last as long as the first search's total work affords; equal depths are trained once")
    return {"dry_run": True, "workdir": str(place), "runs": rows}


def conclude(
    setting: Setting, asked: Asked, runs: dict[tuple[str, int], Run], place: pathlib.Path, reporter: Reporter
) -> dict:
    """Writes and shows the table, and draws the page; `runs` by arm and seed, all finished."""
    outcomes = {arm: [table.outcome(runs[arm, seed]) for seed in setting.seeds] for arm in setting.rows}
    rows = [table.row(arm, outcomes[arm], outcomes[setting.arms[0]]) for arm in setting.rows]
    data = setting.config.data
    lossy = data.name.startswith("cifar") and is_jpeg(open_source(data.name, data.dir))
    notes, verdict = table.notes(rows, lossy), table.verdict(rows)
    head, lines = table.readable(rows)
    shown = Table()
    for number, heading in enumerate(head):
        narrow = "\n".join(textwrap.wrap(heading, NARROW))
        shown.add_column(narrow, justify="left" if number < 2 else "right", no_wrap=number > 0)
    for line in lines:
        shown.add_row(*line)
    reporter.console.print(shown)
    for line in (verdict, *notes):
        reporter.say(line)
    result = {
        "config": asked.file,
        "overrides": list(asked.overrides),
        "arms": rows,
        "jpeg": lossy,
        "verdict": verdict,
        "notes": notes,
        "table": {"head": head, "rows": lines},
        "workdir": str(place),
        "page": str(place / PAGE),
    }
    write_json(place / RESULT, result)
    named = lambda run: run._replace(name=f"{pathlib.Path(run.workdir).parent.name}, seed {run.config['seed']}")
    different = {run.workdir: named(run) for run in runs.values()}
    for workdir in different:  # now their own pages can show what came out
        page.refresh(pathlib.Path(workdir), reporter.warn)
    own = {run.name: f"{_quoted(run.workdir, place)}/{page.FILE}" for run in different.values()}
    front = page.Front("Arms", head, lines, notes, verdict, own)
    page.save(page.render(list(different.values()), front=front), place / PAGE)
    return result


def _quoted(workdir: str, place: pathlib.Path) -> str:
    """Where a run lies from its comparison's folder on, as a link has it."""
    return urllib.parse.quote(pathlib.Path(workdir).relative_to(place).as_posix())


def _lacks_latencies(config: Config) -> bool:
    return config.growth.max_latency_ms is not None and config.growth.latency_table is None


def _measure_latencies(asked: Asked, place: pathlib.Path, pool: processes.Pool, reporter: Reporter):
    """Measures what networks take here, by a run of its own, which alone has the device."""
    kept = place / latency.FILE
    arguments = ["latency", f"--config={config_files.find(asked.file)}", f"--out={kept}", *asked.overrides]
    job = processes.Job("latency", "what blocks take here", arguments, place / "latency.log")
    begins = lambda job: reporter.say(f"{job.name}: {job.about}; log: {job.log}")
    processes.run([job], pool, begins, lambda job, seconds: None)
    reporter.say(latency.summary(latency.load(kept)))


def _with_latencies(config: Config, asked: Asked, place: pathlib.Path) -> tuple[Config, Asked]:
    """The same with the table that was measured here, for all runs alike, where one is needed and there."""
    kept = place / latency.FILE
    if not (_lacks_latencies(config) and kept.exists()):
        return config, asked
    config = config.copy_and_resolve_references()
    config.growth.latency_table = str(kept)
    return config, asked._replace(overrides=(*asked.overrides, f"--config.growth.latency_table={kept}"))


def _usual_place(file: str, config: Config) -> str:
    path = pathlib.PurePath(default_name(config_files.find(file), config))
    return str(path.with_name(f"compare-{path.name}"))


def _pool(jobs: int | None, stop_signal: Callable[[], int | None]) -> processes.Pool:
    machine = processes.find_machine()
    if machine.platform == "tpu" and (jobs or 1) > 1:
        raise UserError(f"--jobs={jobs}: a run takes all chips of a TPU, so they go one after the other: use --jobs=1")
    return processes.Pool(machine, jobs or machine.jobs, stop_signal)


def _make(
    setting: Setting,
    asked: Asked,
    place: pathlib.Path,
    pool: processes.Pool,
    reporter: Reporter,
    grid: Grid,
    later: int,
) -> dict[tuple[str, int], Run]:
    """Makes the runs of a grid that are not finished, and reads all; `later`: how many may follow these at most."""
    different = {cell.folder: cell for cell in grid.values()}
    waiting = {cell.name: cell for cell in different.values() if not _finished(setting, place, cell)}
    left = len(waiting) + later
    if done := len(different) - len(waiting):
        reporter.say(f"{text.counted(done, 'run')} finished already")

    def begins(job: processes.Job):
        reporter.say(f"{job.name}: {job.about}; log: {job.log}")

    def ends(job: processes.Job, seconds: float):
        nonlocal left
        left -= 1
        run = collect_run(place / waiting[job.name].folder)
        reporter.say(
            f"{job.name}: ended after {text.clock(seconds)}, depths {text.depths(run.record.final.depths)}, test accuracy "
            f"{text.percent(run.test_accuracy)}; {'at most ' * bool(later)}{text.counted(left, 'run')} left"
        )

    processes.run([_job(cell, asked, place) for cell in waiting.values()], pool, begins, ends)
    return {key: collect_run(place / cell.folder) for key, cell in grid.items()}


def _finished(setting: Setting, place: pathlib.Path, cell: Cell) -> Run | None:
    """The run of a cell if it is finished.

    Raises:
      UserError: it was begun with another config.
    """
    workdir = place / cell.folder
    if records.find(workdir, newer=True).value is None:
        return None
    require_same(workdir, cell.config(setting.config))
    run = collect_run(workdir)
    return run if run.finished and run.network else None


def _job(cell: Cell, asked: Asked, place: pathlib.Path) -> processes.Job:
    """The command that makes a run, as people would type it."""
    workdir = place / cell.folder
    ours = [f"--config.{key}={str(value).replace(' ', '')}" for key, value in cell.changes.items()]
    arguments = [cell.task, f"--config={config_files.find(asked.file)}", f"--workdir={workdir}"]
    arguments += [*asked.overrides, *ours]  # of one key the last one counts
    if cell.task == "search":
        about = "search"
    else:
        epochs = text.counted(cell.changes["final.epochs"], "epoch")
        about = f"depths {text.depths(cell.changes['model.depths'])} from scratch, {epochs}"
    return processes.Job(cell.name, about, arguments, workdir.with_name(f"{workdir.name}.log"))
