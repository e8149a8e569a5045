"""The programs that candidates run, by their depths: each is built, traced and compiled once, on request ahead of time."""

import concurrent.futures
import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import optax
from flax import linen as nn

from jaxstage.config import is_finetuning, plain
from jaxstage.data import Arrays, Dataset, Stream
from jaxstage.data.augment import Augmentation
from jaxstage.data.balance import class_weights
from jaxstage.data.batches import BATCH
from jaxstage.depth_search import transfer
from jaxstage.devices.mesh import Parallel
from jaxstage.errors import UserError
from jaxstage.models import build, elastic
from jaxstage.train import TrainState
from jaxstage.train.inputs import input_of
from jaxstage.train.state import Hold, init_state, make_optimizer
from jaxstage.train.step import Recipe, make_eval_step, make_train_step

KEPT = 4  # networks whose programs stay in memory; a search goes back to the last one that it stood on


class Program(NamedTuple):
    """What a network of some depths is trained with.

    Attributes:
      module: the network.
      optimizer: see `make_optimizer`.
      step: see `compile_step` of the training set's input, `jaxstage.train.inputs`.
      evaluate: `evaluate(variables) -> {loss, accuracy}` on the validation split.
    """

    module: nn.Module
    optimizer: optax.GradientTransformation
    step: Callable
    evaluate: Callable


class Finetuning(NamedTuple):
    """How the parts that task transfer inherits are trained beside the new ones; by default as these.

    Attributes:
      rates: factors of the learning rate, shaped like the parameters, or None.
      hold: what begins later than the rest, and when.
      frozen: paths of BatchNorms that stay as in evaluation.
    """

    rates: Any = None
    hold: Hold | None = None
    frozen: frozenset[tuple[str, ...]] = frozenset()


class Programs:
    """Builds programs for one data set on some devices."""

    def __init__(
        self,
        config,
        dataset: Dataset,
        validation: Arrays | Stream,
        parallel: Parallel,
        broken: Callable,
        source: transfer.Source | None,
    ):
        """Args: validation, placed; broken, from a stream to the count of its unreadable images; source, what the first
        candidate starts from.

        Raises:
          UserError: several steps a dispatch, of a set that is streamed.
        """
        self._config, self._dataset, self._validation = config, dataset, validation
        self._parallel, self._broken, self._source = parallel, broken, source
        self._input = input_of(dataset.train)
        self._class_weights = class_weights(dataset.train, dataset.num_classes) if config.data.balanced else None
        self.steps_at_once = self._input.steps_at_once(config.steps_per_dispatch, dataset.train)
        self.of = functools.lru_cache(maxsize=KEPT)(self._build)
        self.like = functools.lru_cache(maxsize=KEPT)(self._like)
        self._ahead = concurrent.futures.ThreadPoolExecutor(1, "compile ahead")

    def _build(self, depths: tuple[int, ...], states: tuple[tuple[int, ...], ...] = ()) -> Program:
        module = self.module(depths)
        plan = self._finetuning(module, bool(states))
        optimizer = make_optimizer(self._config.optimizer, plan.rates, plan.hold)
        evaluate = self.evaluation(depths, self._validation, states)
        return Program(module, optimizer, self._step(module, optimizer, plan.frozen, states), evaluate)

    def module(self, depths: tuple[int, ...]) -> nn.Module:
        return self._module(depths, self._parallel.axis_name)

    def module_on_one_device(self, depths: tuple[int, ...]) -> nn.Module:
        """A network whose BatchNorms average over no axis, in training mode as in evaluation."""
        return self._module(depths, None)

    def _module(self, depths: tuple[int, ...], axis_name: str | None) -> nn.Module:
        config = self._config
        return build(plain(config.model), depths, self._dataset.num_classes, axis_name, config.convolutions)

    def _like(self, depths: tuple[int, ...]) -> TrainState:
        """The shapes, dtypes and shardings of a state."""
        place = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self._parallel.replicated)
        return jax.tree.map(place, jax.eval_shape(lambda: self.init(depths, jax.random.key(0))))

    def init(self, depths: tuple[int, ...], key: jax.Array) -> TrainState:
        """A fresh state."""
        program = self.of(depths)
        averaged = self._config.optimizer.ema > 0
        return init_state(program.module, program.optimizer, self._dataset.image_shape, key, averaged)

    def deck(self, states: Sequence[tuple[int, ...]]) -> elastic.Deck:
        """How an elastic network's states are dealt to the examples of a device."""
        devices, batch_size = self._parallel.mesh.size, self._config.batch_size
        if batch_size < 2 * devices:
            raise UserError(
                f"config.batch_size={batch_size}: states of an elastic network are shared out among the images of a device, "
                f"of which there are {devices}: use at least {2 * devices}"
            )
        return elastic.make_deck(states, batch_size // devices)

    def prepare(self, depths: tuple[int, ...], arguments: tuple, key: jax.Array) -> None:
        """Starts to compile the training of a later candidate beside what goes on; a step of it then finds the program.

        Args:
          depths: of the candidate.
          arguments: what a feed gives, of the same shapes.
          key: of any training.
        """
        if jax.process_count() > 1:  # where the processes have to start what they run together in one order
            return
        step, like = self.of(depths).step, self.like(depths)

        def compile():
            with contextlib.suppress(Exception):  # the training itself will meet it again, and tell
                step.lower(like, *arguments, key).compile()

        self._ahead.submit(compile)

    def evaluation(
        self, depths: tuple[int, ...], data: Arrays | Stream, states: tuple[tuple[int, ...], ...] = ()
    ) -> Callable:
        """`evaluate(variables) -> {loss, accuracy}` on a split that is placed."""
        step = make_eval_step(self.module(depths), self._dataset.normalization, states)
        return input_of(data).evaluation(step, data, self._parallel, BATCH, self._broken)

    def _step(
        self,
        module: nn.Module,
        optimizer: optax.GradientTransformation,
        frozen: frozenset[tuple[str, ...]],
        states: tuple[tuple[int, ...], ...],
    ) -> Callable:
        config = self._config
        recipe = Recipe(
            augmentation=Augmentation.of(config.data),
            label_smoothing=config.optimizer.label_smoothing,
            class_weights=self._class_weights,
            average=config.optimizer.ema,
            head_only=config.task == "transfer" and config.transfer.mode == "head",
            frozen=frozen,
        )
        deck = self.deck(states) if states else None
        axis_name = self._parallel.axis_name
        step = make_train_step(module, optimizer, self._dataset.normalization, recipe, deck=deck, axis_name=axis_name)
        return self._input.compile_step(step, self._parallel, config.batch_size, self.steps_at_once)

    def _finetuning(self, module: nn.Module, elastic: bool) -> Finetuning:
        """How a network that starts from a source is trained; in a search its elastic networks alone hold anything.

        Raises:
          UserError: a mode of transfer that does not fit.
        """
        settings, dataset = self._config.transfer, self._dataset
        if not is_finetuning(self._config):
            return Finetuning()
        init = lambda: init_state(module, optax.identity(), dataset.image_shape, jax.random.key(0))
        variables = jax.eval_shape(init).variables
        params, matched = variables["params"], transfer.match(variables, self._source, dataset.class_names)
        an_epoch = dataset.train.size * self._config.data.copies // self._config.batch_size
        first = self._config.task == "transfer" or elastic
        steps = round(settings.head_epochs * an_epoch) if first else 0
        return Finetuning(
            transfer.rates(params, matched, settings.mode, settings.rate, settings.layer_decay),
            Hold(transfer.held(params, matched), steps) if settings.head_epochs else None,
            transfer.inherited_norms(matched) if settings.frozen_statistics else frozenset(),
        )
