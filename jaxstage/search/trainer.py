"""What the search's decisions are carried out with: trains, scores and tests candidates."""
import functools
import pathlib
from typing import Callable

import jax
import optax

from jaxstage import artefacts, cost, hosts, importance, transfer
from jaxstage.checkpoint import Store
from jaxstage.config import plain
from jaxstage.data import Arrays, Dataset, Stream, load_test
from jaxstage.data.dataset import cut
from jaxstage.data.streaming import BrokenImages
from jaxstage.energy import make_counter
from jaxstage.errors import UserError
from jaxstage.models import build
from jaxstage.random import derive
from jaxstage.report.console import Reporter
from jaxstage.report.monitor import Monitor, NoMonitor
from jaxstage.search.growth import ADDED_BLOCKS
from jaxstage.search.inherit import inherit
from jaxstage.search.record import SOURCE, Candidate, Record
from jaxstage.train import TrainState
from jaxstage.train.feed import ResidentFeed, StreamFeed, evaluation_batches
from jaxstage.train.loop import Pace, fit, make_evaluate, make_stream_evaluate
from jaxstage.train.parallel import (
    compile_eval_step, compile_stream_eval_step, compile_stream_step, compile_train_step, set_up,
)  # fmt: skip
from jaxstage.train.state import init_state, make_optimizer, make_schedule
from jaxstage.train.step import make_eval_step, make_train_step

EVAL_BATCH = 512


class Trainer:
    """Carries out a search's actions on one data set. Holds no results: those are in the record and on disk."""

    def __init__(
        self, config, dataset: Dataset, workdir: pathlib.Path, reporter: Reporter,
        stop_signal: Callable[[], int | None], source: transfer.Source | None = None,
    ):  # fmt: skip
        """Takes the devices and puts the data on them; source, what the first candidate starts from, if anything.

        Raises:
          UserError: batch, devices and data do not fit together.
        """
        self.config, self.dataset, self.workdir = config, dataset, workdir
        self.reporter, self.stop_signal, self.source = reporter, stop_signal, source
        self.parallel = set_up(config.parallel, config.devices, config.batch_size)
        if config.batch_size > dataset.train.size:
            raise UserError(
                f"config.batch_size={config.batch_size} is more than the {dataset.train.size} training examples of "
                f"{dataset.name} ({self.parallel.mesh.size} device(s)): use a smaller batch"
            )
        if config.importance.examples is None and isinstance(dataset.train, Stream):
            raise UserError("config.importance.examples=None: a streamed set is too large for that, give a number")
        if (config.importance.examples or 0) >= dataset.train.size:
            raise UserError(
                f"config.importance.examples={config.importance.examples}: {dataset.name} has only "
                f"{dataset.train.size} training examples"
            )
        self.key = hosts.replicate(jax.random.key(config.seed), self.parallel.replicated)
        self.steps_per_epoch = dataset.train.size * config.data.copies // config.batch_size
        self.train_data = self._on_devices(dataset.train)
        self.validation_data = self._on_devices(dataset.validation)
        self._counters = {}
        self.joules = make_counter(config.energy.device_watts, self.parallel.mesh.size)
        self.cost_of = functools.cache(self._cost_of)

    def train(self, record: Record, candidate: Candidate) -> tuple[TrainState, dict]:
        """Brings a candidate to the end of its training, wherever it stands: at the end, on the way, or not begun.

        Returns:
          Its state, and {loss, accuracy} on the validation split.
        """
        training = self.config.final if candidate.role == "final" else self.config.candidate
        settings = self.config.optimizer
        schedule = make_schedule(training, settings.learning_rate, self.steps_per_epoch, settings.time_decay)
        module, key = self._module(candidate.depths), derive(self.key, "candidate", candidate.name)
        optimizer = make_optimizer(settings, schedule, self._rates(module))
        evaluate = self._evaluator(module, self.validation_data)
        init = lambda: init_state(module, optimizer, self.dataset.image_shape, derive(key, "init"))
        with Store(self.workdir / "checkpoints" / candidate.name, self.config.checkpoint.keep) as store:
            state = store.restore(self._like(init), self.reporter.warn)
            if state is None:
                state = hosts.replicate(self._begin(record, candidate, init, key), self.parallel.replicated)
            pace = Pace(
                steps=training.epochs * self.steps_per_epoch,
                steps_per_epoch=self.steps_per_epoch,
                log_every=self.config.log_every_steps,
                save_every=self.config.checkpoint.every_steps or self.steps_per_epoch,
            )
            if int(state.step) == pace.steps:
                return state, candidate.validation or evaluate(state.variables)
            self.reporter.candidate(candidate, training.epochs)
            with self._monitor(candidate, int(state.step), pace, schedule) as monitor:
                step = self._train_step(module, optimizer)
                with self._feed(key, int(state.step), pace.steps) as feed:
                    return fit(state, step, evaluate, feed, pace, key, store, monitor, self.stop_signal)

    def _monitor(self, candidate: Candidate, start: int, pace: Pace, schedule: Callable):
        if not hosts.primary():
            return NoMonitor()
        return Monitor(
            self.reporter, self.workdir, candidate.name, start=start, steps=pace.steps,
            steps_per_epoch=pace.steps_per_epoch, batch_size=self.config.batch_size, learning_rate=schedule,
            profile=self.config.profile,
        )  # fmt: skip

    def _begin(self, record: Record, candidate: Candidate, init: Callable, key: jax.Array) -> TrainState:
        """A candidate's state before its first step."""
        settings = self.config.inherit
        if candidate.parent is None:
            return init()
        if candidate.parent == SOURCE:
            return self._transfer(init())
        parent, _ = self.train(record, record[candidate.parent])
        return inherit(init(), parent, settings.method, derive(key, "inherit"), settings.gauss_scale)

    def _transfer(self, state: TrainState) -> TrainState:
        matched = transfer.match(state.variables, self.source, self.dataset.class_names)
        hosts.on_primary(transfer.write, self.workdir, self.source, matched)
        for line in transfer.summary(self.source, matched):
            self.reporter.say(line)
        return transfer.load(state, self.source, matched)

    def _rates(self, module):
        """Factors of the learning rate for task transfer, or None; raises UserError for a mode that does not fit."""
        settings = self.config.transfer
        if self.config.task != "transfer" or settings.mode == "scratch":
            return None
        init = lambda: init_state(module, optax.identity(), self.dataset.image_shape, self.key)
        variables = jax.eval_shape(init).variables
        matched = transfer.match(variables, self.source, self.dataset.class_names)
        return transfer.rates(variables["params"], matched, settings.mode, settings.rate)

    def score(self, record: Record, candidate: Candidate) -> importance.Scores:
        """The importance of a trained candidate's stages."""
        trained = self.trained(record, candidate)._replace(added=self._added(record, candidate))
        return importance.method(self.config)(trained, derive(self.key, "importance"))

    def trained(self, record: Record, candidate: Candidate) -> importance.Trained:
        """A trained candidate as importance methods take it, to be scored by whole stages."""
        state, _ = self.train(record, candidate)
        return importance.Trained(
            candidate.name, self._module(candidate.depths), state.variables, candidate.depths, self._calibration(),
            self.dataset.normalization,
        )  # fmt: skip

    def _added(self, record: Record, probe: Candidate) -> tuple[int, ...] | None:
        """How many blocks of each stage are to be scored alone; None: whole stages."""
        if self.config.growth.rule != ADDED_BLOCKS:
            return None
        current = record[record.open_round.current]
        return tuple(deep - shallow for deep, shallow in zip(probe.depths, current.depths))

    def test(self, record: Record, candidate: Candidate) -> dict:
        """Reads the test split, evaluates the final network on it and writes the artefacts."""
        state, _ = self.train(record, candidate)
        split = self._on_devices(load_test(self.config.data))
        test = self._evaluator(self._module(candidate.depths), split)(state.variables)
        artefacts.save(self.workdir, self.config, candidate, state.variables, self.dataset, test)
        return test

    def _cost_of(self, depths: tuple[int, ...]) -> cost.Cost:
        return cost.count(self._module(depths), self.dataset.image_shape)

    def _module(self, depths: tuple[int, ...]):
        return build(plain(self.config.model), depths, self.dataset.num_classes, self.parallel.axis_name)

    def _evaluator(self, module, data: Arrays | Stream) -> Callable:
        """`evaluate(variables) -> {loss, accuracy}` on a split."""
        step = make_eval_step(module, self.dataset.normalization)
        if isinstance(data, Stream):
            batches = lambda: evaluation_batches(data, self.parallel, EVAL_BATCH, self.broken(data))
            return make_stream_evaluate(compile_stream_eval_step(step, self.parallel), batches)
        return make_evaluate(compile_eval_step(step, self.parallel), data, self.parallel, EVAL_BATCH)

    def _feed(self, key: jax.Array, start: int, steps: int):
        """What a training's steps get, from step `start` to `steps`."""
        config, data = self.config, self.train_data
        if not isinstance(data, Stream):
            return ResidentFeed(data, key, self.steps_per_epoch, config.data.copies)
        return StreamFeed(
            data, key, self.parallel, batch_size=config.batch_size, start=start, steps=steps, copies=config.data.copies,
            workers=config.data.workers, report=self.broken(data),
        )  # fmt: skip

    def _train_step(self, module, optimizer) -> Callable:
        config = self.config
        step = make_train_step(
            module, optimizer, self.dataset.normalization, crop_padding=config.data.crop_padding, flip=config.data.flip,
            label_smoothing=config.optimizer.label_smoothing, axis_name=self.parallel.axis_name,
            head_only=config.task == "transfer" and config.transfer.mode == "head",
        )  # fmt: skip
        if isinstance(self.train_data, Stream):
            return compile_stream_step(step, self.parallel)
        return compile_train_step(step, self.parallel, config.batch_size)

    def _calibration(self) -> Arrays:
        if self.config.importance.examples is None:
            return self.train_data
        _, part = cut(self.dataset.train, self.config.importance.examples, self.config.seed)
        if isinstance(part, Stream):
            part = Arrays(*part.read(self.broken(self.dataset.train)))
        if part.size < self.config.importance.shares:
            raise UserError(
                f"config.importance.shares={self.config.importance.shares}: only {part.size} calibration images"
            )
        # On several hosts whole, because some methods fetch what they compute of each example.
        if part.size % self.parallel.mesh.size or jax.process_count() > 1:
            return hosts.replicate(part, self.parallel.replicated)
        return jax.device_put(part, self.parallel.sharded)

    def _on_devices(self, split: Arrays | Stream) -> Arrays | Stream:
        return split if isinstance(split, Stream) else hosts.replicate(split, self.parallel.replicated)

    def broken(self, stream: Stream) -> BrokenImages:
        """Counts the unreadable images of a split, over all trainings and evaluations."""
        key = (stream.name, stream.size)
        if key not in self._counters:
            self._counters[key] = BrokenImages(stream, self.config.data.max_broken, self.reporter.warn)
        return self._counters[key]

    def _like(self, init: Callable):
        shapes = jax.eval_shape(init)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self.parallel.replicated), shapes
        )
