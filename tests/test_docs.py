"""What README.md and docs/ tell people to type works: every command and every piece of Python on a page is run.

A page is run from top to bottom in one directory, as a newcomer would, with small settings: `SMALL` is what is added to
each kind of command, `ELSEWHERE` what is not run here, and why.
"""

import ast
import itertools
import json
import multiprocessing
import os
import pathlib
import re
import runpy
import shlex
import subprocess
import sys

import jax
import numpy as np
import PIL.Image
import pytest
import safetensors.numpy
from conftest import REPOSITORY

from jaxstage import config, models
from jaxstage.interop import published, pytorch, pytorch_names

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]
OF_0_1 = pathlib.Path(__file__).with_name("commands_of_0_1.txt")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

OVERRIDES = {
    "batch_size": 16,
    "model.widths": (4,),
    "model.depths": (1,),
    "candidate.epochs": 1,
    "final.epochs": 1,
    "final.warmup_epochs": 0.0,
    "growth.max_rounds": 1,
    "importance.method": "uniform",
    "importance.examples": 16,
    "evaluate.latency_runs": 1,
    "data.workers": 0,
    "devices": 1,
}
DIGITS = {"data.examples": 128}
TOY = {"data.name": "toy", "data.examples": 60}  # for a set that is large or may not be here
FIRST_NETWORK_ALONE = {"growth.max_parameters": 1}  # on pages that are not about the search

# What is added to a command, by a pattern in it.
RUNS = r"jaxstage\.main|^jaxstage (search|train|transfer|evaluate|latency|compare)"
flags = lambda overrides: [f"--config.{key}={str(value).replace(' ', '')}" for key, value in overrides.items()]
SMALL = {
    RUNS: flags(OVERRIDES),
    r"config=(configs/)?digits\b": flags(DIGITS),
    r"config=(configs/)?cifar10\b|data\.name=cifar10": flags(TOY),
    r"config=(configs/)?cifar10\b|data\.name=(flowers|blossoms)": flags(FIRST_NETWORK_ALONE),
    r"^jaxstage compare": ["--arms=search,uniform", "--seeds=1"],
    r"importance\.method=my_methods": ["--config.importance.method=my_methods:kernel_norm"],
}

AS_PRINTED = r"config=photos"  # to which nothing is added

# Commands that are not run here, by a pattern in them, and why.
ELSEWHERE = {
    r"pip install|python3 -m venv": "installing; .ci/run does it",
    r"^eval ": "changes a shell; tests/cli/test_cli.py completes",
    r"\.pth": "needs PyTorch, and files from elsewhere; tests/interop/test_pytorch.py reads such",
    r"data\.name=imagenet2012": "needs ImageNet",
    r"-m pytest": "these tests; .ci/run does it",
    r"--hugging_face": "needs datasets; tests/data/test_prepare_saved.py has it, where it is installed",
    r"prepare cifar10": "downloads; tests/data/test_prepare.py prepares without a network",
    r"interop\.keras|runs/theirs": "needs the authors' files; tests/interop/test_keras.py has them",
    r"-m (benchmarks|studies)": "takes from minutes to hours; tests/benchmarks and tests/studies run each on something small",
    r"--coordinator": "several hosts; tests/devices/test_hosts.py starts them",
}

# Every command gets a process of its own, forked from one that has imported the libraries: that takes most of the time.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["jaxstage.result", "jaxstage.export.network", "jax.export", "tensorflow_datasets"])


def pieces(page: pathlib.Path) -> list[tuple[str, str]]:
    """(language, text) of what is to be run on a page: bash line by line; python block by block, joined if adjacent."""
    found = []
    for language, text in BLOCK.findall(page.read_text()):
        assert language in ("bash", "python", "text", "mermaid"), (
            f"{page.name}: a block without a language: {text[:60]!r}"
        )
        if language == "bash":
            found += [(language, line) for line in text.splitlines() if line and not line.startswith("#")]
        elif language == "python":
            found.append((language, text))
    joined = []
    for language, group in itertools.groupby(found, key=lambda piece: (piece[0], file_name(piece[1]))):
        texts = [text for _, text in group]
        joined += [("python", "\n".join(texts))] if language == ("python", None) else [(language[0], t) for t in texts]
    return joined


def file_name(text: str) -> str | None:
    """The name of the file that a piece of Python is, by its first line."""
    named = re.match(r"# (\w+\.py)\n", text)
    return named and named[1]


@pytest.fixture(scope="module")
def clone(tmp_path_factory, toy_tfds):
    return make_clone(tmp_path_factory.mktemp("clone"), toy_tfds)


def make_clone(folder: pathlib.Path, toy_tfds: pathlib.Path) -> pathlib.Path:
    """A directory like a clone of the repository, with a folder of photos and a place for data sets beside."""
    for name in ("configs", "launch"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "tensorflow_datasets").mkdir()
    (folder / "tensorflow_datasets" / "toy").symlink_to(toy_tfds / "toy")
    write_photos(folder / "my_photos")
    PIL.Image.new("L", (20, 30)).save(folder / "picture.png")
    write_weights("resnet18", folder / "resnet18.safetensors")
    write_weights("efficientnet_lite0", folder / "lite0.safetensors")
    pytorch.import_network(folder / "lite0.safetensors", "efficientnet_lite0", folder / "runs" / "lite0")
    return folder


def write_photos(folder: pathlib.Path) -> None:
    """Three classes of pictures in many formats and different sizes, some on their side, and what is no picture."""
    random = np.random.default_rng(0)
    suffixes = ("jpg", "png", "webp", "JPEG", "bmp", "gif", "tif", "jp2", "ppm")
    for number in range(93):
        name, count = ("daisy", "rose", "Gänse blümchen")[number % 3], number // 3
        path = folder / name / f"{count + 1:03d}.{suffixes[count % len(suffixes)]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 150, (20 + number, 30, 3), np.uint8)
        pixels[..., number % 3] += 100
        exif = PIL.Image.Exif()
        if count % 2:
            exif[0x0112] = 6
        PIL.Image.fromarray(pixels).save(path, exif=exif)
    (folder / "rose" / "999.jpg").write_bytes(b"no image")
    (folder / "rose" / "IMG_0007.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "daisy" / "notes.txt").write_text("from the garden")
    (folder / "daisy" / ".DS_Store").touch()
    (folder / "empty").mkdir()
    listed = [f"my_photos/{path.relative_to(folder)},{path.parent.name}" for path in sorted(folder.glob("*/[0-9]*"))]
    folder.with_name("photos.csv").write_text("\n".join(["file,species", *listed]))


def write_weights(name: str, path: pathlib.Path) -> None:
    """Weights like those that are published of a network, in the main; they are random."""
    random, one = np.random.default_rng(0), published.PUBLISHED[name].model
    options = config.plain(config.default().model) | one
    shapes = models.shapes_of(models.build(options, one["depths"], 1000), (224, 224, 3))
    spelling, arrays = pytorch_names.spellings(options)[0], {}
    for place, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        name = pytorch_names.name_of(tuple(part.key for part in place), spelling, options)
        shape = tuple(leaf.shape[axis] for axis in {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[leaf.ndim])
        values = random.normal(0, 0.05, shape) if leaf.ndim > 1 else random.uniform(0.5, 1, shape)
        arrays[name] = values.astype(np.float32)
    safetensors.numpy.save_file(arrays, path)


class Person:
    """Types what a page says into a terminal at `folder`."""

    def __init__(self, folder: pathlib.Path, clone: pathlib.Path, cache: pathlib.Path):
        self.folder, self.cache = folder, {"compilation_cache": str(cache)}
        self.environment = {
            "TFDS_DATA_DIR": str(clone / "tensorflow_datasets"),
            "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiling is what takes the time here
            "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0",  # or the program starts itself once more, which a fork cannot
            "TPU": "x",
            "ZONE": "x",
            "WORKDIR": "x",  # of launch/tpu.sh
        }

    def command(self, line: str):
        if "pip install" in line and "jaxstage.main" in line:
            line = line.rpartition(" && ")[2]
        if any(re.search(pattern, line) for pattern in ELSEWHERE):
            return
        program, *arguments = shlex.split(self._with_workdir(line))
        if program.startswith("launch/"):
            command = [program, "--dry-run", *arguments]
            subprocess.run(command, cwd=self.folder, env=os.environ | self.environment, check=True)
            return
        if program == "python":
            assert arguments.pop(0) == "-m"
            program = arguments.pop(0)
        assert program.partition(".")[0] == "jaxstage", line
        whole = re.search(AS_PRINTED, line)
        small = {} if whole else SMALL
        added = [flag for pattern, some in small.items() if re.search(pattern, line) for flag in some]
        added += flags(self.cache) if re.search(RUNS, line) else []
        compiled = {"XLA_FLAGS": ""} if whole else {}  # as fast as can be
        self._fork(run_module, program, [*arguments, *added], more=compiled)

    def python(self, text: str):
        self._fork(run_text, self._with_workdir(text), OVERRIDES | DIGITS | self.cache)

    def _with_workdir(self, text: str) -> str:
        """WORKDIR stands for the run that the page is about, the first one."""
        runs = sorted((self.folder / "runs").glob("digits-*"))
        return text.replace("WORKDIR", str(runs[0])) if runs else text

    def _fork(self, function, *arguments, more: dict[str, str] = {}):
        log, environment = self.folder / "log.txt", self.environment | more
        process = FORKS.Process(target=enter, args=(self.folder, environment, log, function, *arguments))
        process.start()
        process.join()
        assert process.exitcode == 0, f"{arguments}\n{log.read_text()[-3000:]}"


def enter(folder: pathlib.Path, environment: dict, log: pathlib.Path, function, *arguments):
    """In a forked process: does as if it were started in a terminal."""
    os.chdir(folder)
    os.environ.update(environment)
    sys.path.insert(0, "")
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
    function(*arguments)


def run_module(name: str, arguments: list[str]):
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def run_text(text: str, small: dict):
    """Runs Python whose configs, from `jaxstage.config.load`, get small settings."""
    load = config.load
    config.load = lambda file, overrides=None: load(file, (overrides or {}) | small)
    exec(compile(text, "a page", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", [page for page in PAGES if pieces(page)], ids=lambda page: page.stem)
def test_what_a_page_says_works(page, clone, compilation_cache):
    person = Person(clone, clone, compilation_cache)
    for language, text in pieces(page):
        if language == "bash":
            person.command(text)
        elif name := file_name(text):
            (clone / name).write_text(text)
        else:
            person.python(text)


def test_every_command_of_0_1_still_runs(tmp_path, toy_tfds, compilation_cache):
    """The list is kept: the pages go on, and what people have in their scripts has to work all the same."""
    clone = make_clone(tmp_path, toy_tfds)
    for language, text in pieces(DOCS / "extending.md"):
        if name := file_name(text):
            (clone / name).write_text(text)
    person = Person(clone, clone, compilation_cache)
    commands = [line for line in OF_0_1.read_text().splitlines() if not line.startswith("#")]
    assert len(commands) == 28
    for line in commands:
        person.command(line)


def test_the_notebook_runs_and_is_kept_without_outputs(clone, compilation_cache):
    cells = [cell for cell in json.loads((DOCS / "search.ipynb").read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)
    (clone / "docs").mkdir()
    Person(clone / "docs", clone, compilation_cache).python("\n".join("".join(cell["source"]) for cell in cells))


def test_the_reference_of_config_keys_is_up_to_date():
    made = runpy.run_path(str(DOCS / "make_config.py"))["text"]()
    assert (DOCS / "config.md").read_text() == made, "run  python docs/make_config.py"


def test_the_messages_that_the_faq_explains_exist():
    texts = []
    for path in (REPOSITORY / "jaxstage").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    explained = re.findall(r"^\*\*`(.*)`\*\*", (DOCS / "faq.md").read_text(), re.MULTILINE)
    assert len(explained) > 20
    pattern = lambda message: ".*".join(re.escape(part) for part in message.split("…"))
    assert [message for message in explained if not any(re.search(pattern(message), text) for text in texts)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link
