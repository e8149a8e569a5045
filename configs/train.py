"""Trains the network of a finished run for longer, or another one of its elastic network, from the weights that it has.

    jaxstage train WORKDIR --config.final.epochs=50
    jaxstage train WORKDIR --config.model.depths="(2,3,5)"

Needs: a finished run in WORKDIR, and its data; for other depths a search with growth.rule=elastic. Its report has a
command for every network of the frontier. The learning rate has a new schedule.
Expect: everything as in the search's own config, but for the task, the depths and how the run is kept. If that names
code of somebody's own, MODULE:FUNCTION, name a config that says so yourself, with --config.source=WORKDIR.
"""

from jaxstage.config import MAY_CHANGE, default, flatten
from jaxstage.config.moved import renewed
from jaxstage.errors import UserError, first_line
from jaxstage.files import local
from jaxstage.plugins import is_own
from jaxstage.workdir.claim import CONFIG, find_config


def get_config(workdir=""):
    config = default()
    if workdir:
        try:
            config.update_from_flattened_dict(settings_of(workdir))
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise UserError(f"{workdir}/{CONFIG} is damaged ({first_line(error)}): get the run again") from error
        config.source = workdir
    config.task = "train"
    return config


def settings_of(workdir):
    found = find_config(local(workdir, "WORKDIR")).value
    if found is None:
        raise UserError(f"{workdir} holds no run of jaxstage (no {CONFIG}): give the work directory of one")
    settings = flatten(renewed(found))
    # A work directory may be somebody else's: nothing that it names is imported because it says so.
    for key in ("model.family", "data.name", "importance.method"):
        if is_own(str(settings.get(key))):
            raise UserError(
                f"{workdir} names {key}={settings[key]!r}, which would be imported and run: if you trust where it comes "
                "from, name a config of your own that says so, with --config.task=train and --config.source"
            )
    known = flatten(default()).keys() - set(MAY_CHANGE) | {"data.dir"}
    known = {key for key in known if not key.startswith("transfer.")}  # how its own source was used
    as_tuple = lambda value: tuple(value) if isinstance(value, list) else value
    return {key: as_tuple(value) for key, value in settings.items() if key in known and value is not None}
