"""A trace of a few training steps, for TensorBoard's profiler or https://ui.perfetto.dev."""

import pathlib

import jax

FIRST, LAST = 5, 10  # steps after the start of a training run: past its compilation, and few enough to be read


class Profiler:
    """Traces a training run from step FIRST + 1 to LAST, or what is dispatched between them, into a folder."""

    def __init__(self, folder: pathlib.Path, start: int):
        """Args: folder for the trace; start, the step from which the training goes on."""
        self._folder, self._start, self._begun, self._running = folder, start, False, False

    def advance(self, step: int):
        """To be told of the steps that are done, one by one or several at once."""
        if step - self._start >= FIRST and not self._begun:
            jax.profiler.start_trace(str(self._folder), create_perfetto_trace=True)
            self._begun = self._running = True
        elif step - self._start >= LAST:
            self.close()

    def close(self):
        """Writes the trace, also of a training run that ends early."""
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
