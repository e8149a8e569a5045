"""Training a candidate: from nothing, a parent, a source or its newest checkpoint, to its end."""

import contextlib
from collections.abc import Callable, Iterator

import jax
import numpy as np

from jaxstage.depth_search import rules as growth_rules
from jaxstage.depth_search import transfer
from jaxstage.depth_search.bench import Bench
from jaxstage.depth_search.inherit import inherit
from jaxstage.depth_search.judge import score
from jaxstage.depths import Depths
from jaxstage.devices import hosts
from jaxstage.keys import derive
from jaxstage.report.monitor import Monitor, NoMonitor
from jaxstage.train import TrainState
from jaxstage.train.inputs import input_of
from jaxstage.train.loop import Pace, fit
from jaxstage.train.patience import NoPatience, Patience
from jaxstage.train.state import learning_rates, make_schedule
from jaxstage.workdir.checkpoint import Store
from jaxstage.workdir.record import SOURCE, Candidate, Record


def trained_state(
    bench: Bench, record: Record, candidate: Candidate, ahead: Depths | None = None, monitor: NoMonitor | None = None
) -> tuple[TrainState, dict | None]:
    """A candidate at the end of its training, wherever it stands: at the end, on the way, or not begun.

    Args:
      bench: what it is trained with.
      record: of the search, so far.
      candidate: one of its. Its `steps`, where they are known, are where its training ends.
      ahead: depths of the candidate that will be trained next, if that is certain; compiled on the way, unless
        images are streamed.
      monitor: told how the training goes; None: console and files of the work directory are.

    Returns:
      Its state, and {loss, accuracy} on the validation split; None for a training that ends within an epoch.
    """
    config, training, depths = bench.config, bench.training(candidate), candidate.depths
    program, key = bench.programs.of(depths, bench.states(candidate)), derive(bench.key, "candidate", candidate.name)
    folder = bench.workdir / "checkpoints" / candidate.name
    with Store(folder, config.checkpoint.keep) as store, _patience(bench, candidate, program.evaluate) as patience:
        state = patience.resume(store.restore(bench.programs.like(depths), bench.reporter.warn))
        if state is None:
            state = hosts.replicate(_first_state(bench, record, candidate, key), bench.parallel.replicated)
        pace = Pace(
            steps=candidate.steps or training.epochs * bench.steps_per_epoch,
            steps_per_epoch=bench.steps_per_epoch,
            log_every=config.log_every_steps,
            save_every=config.checkpoint.every_steps or bench.steps_per_epoch,
            at_once=bench.programs.steps_at_once,
        )
        start = int(state.step)
        if start == pace.steps and candidate.validation:
            return patience.result(state, candidate.validation)
        bench.reporter.candidate(candidate, training.epochs)
        rates, enough = _learning_rates(bench, training), _enough(bench, record, candidate)
        monitor = monitor or _monitor(bench, candidate, start, pace, rates)
        with monitor, feed_of(bench, key, rates) as feed:
            if ahead is not None and (arguments := feed.ahead(start)):
                bench.programs.prepare(ahead, arguments, key)
            over = lambda done, state: patience.is_over(done, state) or enough(done, state)
            told = store, monitor, bench.stop_signal, over, patience.see
            state, validation = fit(state, program.step, program.evaluate, feed, pace, key, *told)
        for line in patience.summary(int(state.step)):
            bench.reporter.say(f"{candidate.name}: {line}")
        return patience.result(state, validation)


def feed_of(bench: Bench, key: jax.Array, rates: np.ndarray):
    """What the steps of a training run get, up to the last that has a learning rate; see `jaxstage.train.inputs`."""
    settings = bench.config.data
    return input_of(bench.train_data).feed(
        bench.train_data,
        key,
        bench.parallel,
        batch_size=bench.config.batch_size,
        rates=rates,
        copies=settings.copies,
        workers=settings.workers,
        broken=bench.broken,
    )


def _first_state(bench: Bench, record: Record, candidate: Candidate, key: jax.Array) -> TrainState:
    """A candidate's state before its first step."""
    fresh = lambda: bench.programs.init(candidate.depths, derive(key, "init"))
    if candidate.parent is None:
        return fresh()
    settings = bench.config.inherit
    grown = lambda child, parent: inherit(child, parent, settings.method, derive(key, "inherit"), settings.gauss_scale)
    if candidate.parent == SOURCE:
        child = _transferred(bench, fresh())
        return grown(child, transfer.without_new_blocks(child, bench.source))
    parent, _ = trained_state(bench, record, record.trained(candidate.parent))
    return grown(fresh(), parent)


def _transferred(bench: Bench, state: TrainState) -> TrainState:
    matched = transfer.match(state.variables, bench.source, bench.dataset.class_names)
    hosts.on_primary(transfer.write, bench.workdir, bench.source, matched, bench.reporter.warn)
    for line in transfer.summary(bench.source, matched):
        bench.reporter.say(line)
    return transfer.load(state, bench.source, matched)


def _learning_rates(bench: Bench, training) -> np.ndarray:
    settings = bench.config.optimizer
    schedule = make_schedule(training, settings.learning_rate, bench.steps_per_epoch, settings.time_decay)
    return learning_rates(schedule, training.epochs * bench.steps_per_epoch)


def _enough(bench: Bench, record: Record, candidate: Candidate) -> Callable[[int, TrainState], bool]:
    """When the training of a probe may end before its time: from halfway, once the decision is clear."""
    settings, half = bench.config.growth, bench.config.candidate.epochs * bench.steps_per_epoch / 2
    if settings.stop_probe is None or candidate.role != "probe":
        return lambda done, state: False
    rule, before = growth_rules.of(bench.config), record[record.open_round.current].scores
    return lambda done, state: done >= half and rule.is_clear(before, score(bench, candidate, state), settings)


@contextlib.contextmanager
def _patience(bench: Bench, candidate: Candidate, evaluate: Callable) -> Iterator[NoPatience]:
    """When the training of the final network may end before its time, and what is kept for it."""
    epochs = bench.config.final.patience
    measured = candidate.steps is not None and candidate.validation is None  # by a dry run, over so many steps
    if epochs is None or candidate.role != "final" or measured:
        yield NoPatience()
        return
    like = bench.programs.like(candidate.depths)
    with Store(bench.workdir / "checkpoints" / f"{candidate.name}.best", keep=1) as store:
        yield Patience(epochs, bench.steps_per_epoch, store, like, evaluate, bench.reporter.warn)


def _monitor(bench: Bench, candidate: Candidate, start: int, pace: Pace, rates: np.ndarray) -> NoMonitor:
    if not hosts.primary():
        return NoMonitor()
    return Monitor(
        bench.reporter,
        bench.workdir,
        candidate.name,
        start=start,
        steps=pace.steps,
        steps_per_epoch=pace.steps_per_epoch,
        batch_size=bench.config.batch_size,
        rates=rates,
        profile=bench.config.profile,
    )
