"""The two ways that examples come to the devices: a set that lies on them, or a stream of batches from the host.

`resident` and `streamed` have the same names inside, with the same signatures; which of the two a split is, is asked
here and nowhere else:

    place             puts a split where its examples are taken from
    steps_at_once     how many steps one dispatch does
    compile_step      the program of a dispatch
    feed              what the dispatches of a training run get, a context manager; a function of the training's key and
                      the step's number alone, so that a training run goes on anywhere as if it had never stopped
    evaluation        loss and accuracy over a whole split
    batches           one pass over a split on this host
    calibration_size  how many training images importance looks at
    choose, sample    some images of a split, in memory

`broken`, which several of them take, is a function from a stream to what is told of each of its batches, `(indices,
status)`, see `jaxstage.data.streaming.BrokenImages`. What lies in memory has been read before, and nobody is told.
"""

from types import ModuleType

from jaxstage.data import Arrays, Stream
from jaxstage.train import resident, streamed


def input_of(split: Arrays | Stream) -> ModuleType:
    """The module that knows how a split is handled."""
    return streamed if isinstance(split, Stream) else resident
