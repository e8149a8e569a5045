"""What the search's decisions are carried out with: trains, scores and tests candidates."""

import functools
import pathlib
from collections.abc import Callable, Sequence

import jax
import numpy as np

from jaxstage import cost, importance
from jaxstage.cost import latency
from jaxstage.data import Arrays, Dataset, Stream, load_test, skipped
from jaxstage.data.dataset import cut
from jaxstage.data.streaming import BrokenImages
from jaxstage.depth_search import choice, reading, transfer
from jaxstage.depth_search import rules as growth_rules
from jaxstage.depth_search.inherit import inherit
from jaxstage.depth_search.programs import Program, Programs
from jaxstage.devices import hosts
from jaxstage.devices.cpu import native
from jaxstage.devices.energy import make_counter
from jaxstage.devices.mesh import set_up
from jaxstage.errors import UserError
from jaxstage.keys import derive
from jaxstage.report.console import Reporter
from jaxstage.report.monitor import Monitor, NoMonitor
from jaxstage.train import TrainState
from jaxstage.train.feed import ResidentFeed, StreamFeed
from jaxstage.train.loop import Pace, fit
from jaxstage.train.state import learning_rates, make_schedule
from jaxstage.workdir import networks
from jaxstage.workdir.checkpoint import Store
from jaxstage.workdir.record import SOURCE, Candidate, Record

MOST_JUDGED_ON = 4096


class Trainer:
    """Carries out a search's actions on one data set. Holds no results: those are in the record and on disk."""

    def __init__(
        self,
        config,
        dataset: Dataset,
        workdir: pathlib.Path,
        reporter: Reporter,
        stop_signal: Callable[[], int | None],
        source: transfer.Source | None = None,
    ):
        """Takes the devices and puts the data on them; source, what the first candidate starts from, if anything.

        Raises:
          UserError: batch, devices and data do not fit together.
        """
        self.config, self.dataset, self.workdir = config, dataset, workdir
        self.reporter, self.stop_signal, self.source = reporter, stop_signal, source
        self.parallel = set_up(config.parallel, config.devices, config.batch_size)
        if config.convolutions == "native":
            self._use_native_convolutions()
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
        hosts.on_primary(latency.given, config, dataset.image_shape)  # what is wrong with it is told now
        self.key = hosts.replicate(jax.random.key(config.seed), self.parallel.replicated)
        self.steps_per_epoch = dataset.train.size * config.data.copies // config.batch_size
        self.train_data = self._on_devices(dataset.train)
        validation = self._on_devices(dataset.validation)
        self.programs = Programs(config, dataset, validation, self.parallel, self.broken, source)
        self._counters = {}
        self.joules = make_counter(config.energy.device_watts, self.parallel.mesh.size)
        self.cost_of = functools.cache(self._cost_of)

    def train(
        self, record: Record, candidate: Candidate, ahead: tuple[int, ...] | None = None
    ) -> tuple[TrainState, dict]:
        """Brings a candidate to the end of its training, wherever it stands: at the end, on the way, or not begun.

        Args:
          record: of the search, so far.
          candidate: one of its.
          ahead: depths of the candidate that will be trained next, if that is certain; compiled on the way, unless
            images are streamed.

        Returns:
          Its state, and {loss, accuracy} on the validation split.
        """
        training = self.config.final if candidate.role == "final" else self.config.candidate
        program, key = self._program(candidate), derive(self.key, "candidate", candidate.name)
        init = lambda: self.programs.init(candidate.depths, derive(key, "init"))
        with Store(self.workdir / "checkpoints" / candidate.name, self.config.checkpoint.keep) as store:
            state = store.restore(self.programs.like(candidate.depths), self.reporter.warn)
            if state is None:
                state = hosts.replicate(self._begin(record, candidate, init, key), self.parallel.replicated)
            pace = Pace(
                steps=candidate.steps or training.epochs * self.steps_per_epoch,
                steps_per_epoch=self.steps_per_epoch,
                log_every=self.config.log_every_steps,
                save_every=self.config.checkpoint.every_steps or self.steps_per_epoch,
                at_once=self.programs.steps_at_once,
            )
            start = int(state.step)
            if start == pace.steps:
                return state, candidate.validation or program.evaluate(state.variables)
            self.reporter.candidate(candidate, training.epochs)
            rates, enough = self._learning_rates(training), self._enough(record, candidate)
            with self._monitor(candidate, start, pace, rates) as monitor, self.feed(key, start, rates) as feed:
                if ahead is not None and not isinstance(self.train_data, Stream):
                    self.programs.prepare(ahead, feed(start, 1), key)
                return fit(
                    state, program.step, program.evaluate, feed, pace, key, store, monitor, self.stop_signal, enough
                )

    def _program(self, candidate: Candidate) -> Program:
        return self.programs.of(candidate.depths, self.states(candidate))

    def states(self, candidate: Candidate) -> tuple[tuple[int, ...], ...]:
        """The states that an elastic network is trained in; none of any other."""
        if candidate.lower is None:
            return ()
        return choice.states_within(candidate.lower, candidate.depths, self.config.growth, self.cost_of)

    def _learning_rates(self, training) -> np.ndarray:
        settings = self.config.optimizer
        schedule = make_schedule(training, settings.learning_rate, self.steps_per_epoch, settings.time_decay)
        return learning_rates(schedule, training.epochs * self.steps_per_epoch)

    def _enough(self, record: Record, candidate: Candidate) -> Callable[[int, TrainState], bool]:
        """When the training of a probe may end before its time: from halfway, once the decision is clear."""
        settings, half = self.config.growth, self.config.candidate.epochs * self.steps_per_epoch / 2
        if settings.stop_probe is None or candidate.role != "probe":
            return lambda done, state: False
        rule, before = growth_rules.of(self.config), record[record.open_round.current].scores
        score = lambda state: self._score(candidate, state)
        return lambda done, state: done >= half and rule.is_clear(before, score(state), settings)

    def _monitor(self, candidate: Candidate, start: int, pace: Pace, rates: np.ndarray):
        if not hosts.primary():
            return NoMonitor()
        return Monitor(
            self.reporter,
            self.workdir,
            candidate.name,
            start=start,
            steps=pace.steps,
            steps_per_epoch=pace.steps_per_epoch,
            batch_size=self.config.batch_size,
            rates=rates,
            profile=self.config.profile,
        )

    def _begin(self, record: Record, candidate: Candidate, init: Callable, key: jax.Array) -> TrainState:
        """A candidate's state before its first step."""
        settings = self.config.inherit
        if candidate.parent is None:
            return init()
        if candidate.parent == SOURCE:
            return self._transfer(init())
        parent, _ = self.train(record, record.trained(candidate.parent))
        return inherit(init(), parent, settings.method, derive(key, "inherit"), settings.gauss_scale)

    def _transfer(self, state: TrainState) -> TrainState:
        matched = transfer.match(state.variables, self.source, self.dataset.class_names)
        hosts.on_primary(transfer.write, self.workdir, self.source, matched)
        for line in transfer.summary(self.source, matched):
            self.reporter.say(line)
        return transfer.load(state, self.source, matched)

    def score(self, record: Record, candidate: Candidate) -> importance.Scores:
        """The importance of a trained candidate's stages."""
        return self._score(candidate, self.train(record, candidate)[0])

    def _score(self, candidate: Candidate, state: TrainState) -> importance.Scores:
        return importance.method(self.config)(self.trained(candidate, state), derive(self.key, "importance"))

    def read(self, record: Record, candidate: Candidate) -> choice.Findings:
        """What the states of a trained elastic network say about depths; writes it as an artefact."""
        state, _ = self.train(record, candidate)
        module, states = self.programs.module_on_one_device(candidate.depths), self.states(candidate)
        rules, seed = self.config.growth, self.config.seed
        look = lambda some: reading.read(
            module,
            state.variables,
            some,
            self._judged_on,
            self._statistics_of,
            self.dataset.normalization,
            candidate.lower,
        )
        judge = lambda read: choice.judge(read, states, rules, self.cost_of, seed)
        read = look(choice.states_to_read(states, seed))
        while (found := judge(read)).of(found.chosen) is None:
            read = read.and_of(look((found.chosen,)))
        networks.save_elastic(self.workdir, self.config, candidate, state.variables, self.dataset)
        return found

    def training_work(self, candidate: Candidate, steps: int) -> float:
        """Multiply-accumulates of so many steps and the validations between them."""
        states = self.states(candidate)
        states = self.programs.deck(states).states if states else (candidate.depths,)  # what is off costs nothing
        macs = sum(self.cost_of(depths).macs for depths in states) / len(states)
        epochs = steps // self.steps_per_epoch
        return macs * float(3 * steps * self.config.batch_size + epochs * self.dataset.validation.size)

    def scoring_work(self, candidate: Candidate) -> float:
        """Multiply-accumulates of `score`."""
        looks = importance.passes(self.config.importance.method, len(candidate.depths))
        return candidate.macs * float(looks * self._calibration_size)

    def reading_work(self, states: Sequence[tuple[int, ...]]) -> float:
        """Multiply-accumulates of reading states."""
        macs = sum(self.cost_of(depths).macs for depths in states)  # what is off costs nothing
        return macs * float(self._calibration_size + self._judged_on.size)

    @property
    def _calibration_size(self) -> int:
        return self.config.importance.examples or self.dataset.train.size

    def trained(self, candidate: Candidate, state: TrainState) -> importance.Trained:
        """A trained candidate as importance methods take it, to be scored by whole stages."""
        return importance.Trained(
            candidate.name,
            self.programs.module(candidate.depths),
            state.variables,
            candidate.depths,
            self._calibration,
            self.dataset.normalization,
        )

    def test(self, record: Record, candidate: Candidate) -> dict:
        """Reads the test split, evaluates the final network on it and writes the artefacts."""
        state, _ = self.train(record, candidate)
        split = self._on_devices(load_test(self.config.data))
        test = self.programs.evaluation(candidate.depths, split)(state.variables)
        networks.save(self.workdir, self.config, candidate, state.variables, self.dataset, test)
        return test

    def _use_native_convolutions(self):
        devices = self.parallel.mesh.size
        if devices > 1 and self.parallel.mode == "jit":
            raise UserError(
                f"config.convolutions='native': XLA cannot split it over the {devices} devices here; "
                "set config.devices=1, or use 'xla'"
            )
        native.load()

    def _cost_of(self, depths: tuple[int, ...]) -> cost.Cost:
        counted = cost.count(self.programs.module(depths), self.dataset.image_shape)
        return counted._replace(latency_ms=self._latencies.latency(depths)) if self._latencies else counted

    @functools.cached_property
    def _latencies(self) -> latency.Table | None:
        """Found with the first cost: by then the work directory, which keeps what is measured, belongs to the run."""
        dataset = self.dataset
        found = hosts.on_primary(latency.of_run, self.config, self.workdir, dataset.image_shape, dataset.num_classes)
        table = found and latency.Table(*found)  # to other hosts it came as a list
        if table:
            self.reporter.say(latency.summary(table))
        return table

    def feed(self, key: jax.Array, start: int, rates: np.ndarray):
        """What a training run's steps get, from step `start` to the last that has a learning rate."""
        data, settings = self.train_data, self.config.data
        shared = dict(batch_size=self.config.batch_size, rates=rates, copies=settings.copies)
        if not isinstance(data, Stream):
            return ResidentFeed(data, key, self.parallel, steps_per_epoch=self.steps_per_epoch, **shared)
        return StreamFeed(
            data,
            key,
            self.parallel,
            start=start,
            steps=len(rates),
            workers=settings.workers,
            report=self.broken(data),
            **shared,
        )

    @functools.cached_property
    def _calibration(self) -> Arrays:
        """The images that stages are judged on, cut and placed once: a search scores many candidates on them."""
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

    @functools.cached_property
    def _statistics_of(self) -> Arrays:
        """The images that the states of an elastic network get their BatchNorm statistics from."""
        settings = self.config.data
        return reading.as_trained(
            self._calibration, derive(self.key, "statistics"), settings.crop_padding, settings.flip
        )

    @functools.cached_property
    def _judged_on(self) -> Arrays:
        """The images that states are read on: the validation split, of a stream as many as fit the memory easily."""
        split = self.dataset.validation
        if isinstance(split, Stream):
            if split.size > MOST_JUDGED_ON:
                split = cut(split, MOST_JUDGED_ON, self.config.seed)[1]
            split = Arrays(*split.read(self.broken(self.dataset.validation)))
        return hosts.replicate(split, self.parallel.replicated)

    def _on_devices(self, split: Arrays | Stream) -> Arrays | Stream:
        return split if isinstance(split, Stream) else hosts.replicate(split, self.parallel.replicated)

    def broken(self, stream: Stream) -> BrokenImages:
        """Counts the unreadable images of a split, over all training runs and evaluations."""
        key = (stream.name, stream.size)
        if key not in self._counters:
            note = functools.partial(skipped.add, skipped.file_in(self.workdir, jax.process_index()))
            self._counters[key] = BrokenImages(stream, self.config.data.max_broken, self.reporter.warn, note)
        return self._counters[key]
