"""Evaluates the network of a work directory: accuracy, loss, accuracy a class, parameters, MACs, latency.

    jaxstage evaluate WORKDIR
    jaxstage evaluate WORKDIR --config.evaluate.split=train

Takes the data set that the network was trained on, or another with --config.data.name. Writes no files; the last line
on standard output is a JSON object with everything.
"""

from jaxstage.config import default


def get_config():
    config = default()
    config.task = "evaluate"
    config.data.name = ""  # the source's own
    return config
