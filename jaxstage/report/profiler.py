"""A trace of a few training steps, for TensorBoard's profiler or https://ui.perfetto.dev."""
import pathlib

import jax

FIRST, LAST = 5, 10  # steps after the start of a training: past its compilation, and few enough to be read


class Profiler:
    """Traces steps FIRST + 1 to LAST of one training into a folder."""

    def __init__(self, folder: pathlib.Path, start: int):
        """Args: folder for the trace; start, the step from which the training goes on."""
        self._folder, self._start, self._running = folder, start, False

    def advance(self, step: int):
        """To be told of each step that is done."""
        if step - self._start == FIRST:
            jax.profiler.start_trace(str(self._folder), create_perfetto_trace=True)
            self._running = True
        elif step - self._start == LAST:
            self.close()

    def close(self):
        """Writes the trace, also of a training that ends early."""
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
