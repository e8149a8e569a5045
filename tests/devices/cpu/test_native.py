"""Our own convolutions against XLA's."""

import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import virtual_devices
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import lax

from jaxstage import cost
from jaxstage.config import default, validate
from jaxstage.devices.cpu.native import advisable, load, native_convolution
from jaxstage.devices.cpu.native import library as convolution_library
from jaxstage.devices.cpu.native.library import CONVOLUTION
from jaxstage.errors import JaxstageWarning, UserError
from jaxstage.models import mobilenet, resnet
from jaxstage.train.state import init_state, make_optimizer

pytestmark = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "c++")) is None or jax.default_backend() != "cpu", reason="needs a C++ compiler"
)
LAYOUT = ("NHWC", "HWIO", "NHWC")


def random(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def both(images, kernel, stride, padding, **options):
    """Values, and gradients for a cotangent that is no constant, of ours and of XLA's."""

    def of(convolve):
        value, pull = jax.vjp(
            lambda x, k: convolve(x, k, (stride, stride), padding, dimension_numbers=LAYOUT, **options), images, kernel
        )
        return value, *pull(jnp.cos(value))

    return of(native_convolution), of(lax.conv_general_dilated)


def uses_ours(*arguments, **options) -> bool:
    return CONVOLUTION in str(jax.make_jaxpr(lambda: native_convolution(*arguments, **options))())


@settings(max_examples=16, deadline=None)
@given(
    batch=st.integers(1, 19),
    height=st.integers(1, 11),
    width=st.integers(1, 20),
    channels=st.sampled_from([1, 3, 4, 8, 16, 24]),
    filters=st.sampled_from([4, 8, 12, 16, 24, 32, 48, 64]),
    taps=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    padding=st.sampled_from(["SAME", ((2, 1), (0, 3))]),
    seed=st.integers(0, 2**20),
)
@example(2, 5, 6, 4, 4, (1, 1), 1, ((2, 1), (0, 3)), 0)  # more padding than the taps reach
@example(2, 5, 1, 4, 4, (1, 3), 3, ((2, 1), (7, 0)), 0)
def test_values_and_gradients_are_those_of_xla(batch, height, width, channels, filters, taps, stride, padding, seed):
    if padding != "SAME" and (height + 3 < taps[0] or width + 3 < taps[1]):
        padding = "SAME"
    images, kernel = random(seed, batch, height, width, channels), random(seed + 1, *taps, channels, filters)
    assert uses_ours(images, kernel, (stride, stride), padding, dimension_numbers=LAYOUT)
    for ours, theirs in zip(*both(images, kernel, stride, padding)):
        scale = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=2e-5)


@pytest.mark.parametrize(
    "images, kernel, options",
    [
        (random(0, 2, 8, 8, 3), random(1, 3, 3, 3, 5), {}),  # filters that fill no vector
        (random(0, 2, 8, 8, 16), random(1, 3, 3, 1, 16), {"feature_group_count": 16}),
        (random(0, 2, 8, 8, 16), random(1, 3, 3, 16, 16), {"rhs_dilation": (2, 2)}),
        (random(0, 2, 8, 8, 16), random(1, 3, 3, 16, 16), {"lhs_dilation": (2, 2)}),
        (random(0, 2, 8, 8, 16).astype(jnp.bfloat16), random(1, 3, 3, 16, 16).astype(jnp.bfloat16), {}),
    ],
)
def test_what_the_kernels_do_not_take_is_left_to_xla(images, kernel, options):
    padding = ((1, 1), (1, 1))
    assert not uses_ours(images, kernel, (1, 1), padding, dimension_numbers=LAYOUT, **options)
    for ours, theirs in zip(*both(images, kernel, 1, padding, **options)):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours.astype(jnp.float32), theirs.astype(jnp.float32), rtol=1e-5, atol=1e-5)


def test_results_do_not_depend_on_the_number_of_threads(tmp_path):
    """The sum over a batch is cut in the same places whoever computes the pieces."""
    program = (
        "import jax, jax.numpy as jnp, numpy as np, hashlib\n"
        "from jaxstage.devices.cpu.native import native_convolution\n"
        "x = jnp.asarray(np.random.default_rng(0).standard_normal((37, 9, 9, 16)), jnp.float32)\n"
        "k = jnp.asarray(np.random.default_rng(1).standard_normal((3, 3, 16, 16)), jnp.float32)\n"
        "f = lambda k: (native_convolution(x, k, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')) ** 2).sum()\n"
        "print(hashlib.sha256(np.asarray(jax.jit(jax.grad(f))(k)).tobytes()).hexdigest())\n"
    )
    run = lambda *before: subprocess.run(
        [*before, sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    everywhere = {run().stdout for _ in range(2)}
    one_core = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] if shutil.which("taskset") else []
    assert everywhere == {run(*one_core).stdout}


@pytest.mark.parametrize("family", [resnet, mobilenet])
def test_a_network_computes_the_same(family):
    options = dict(num_classes=10, widths=(16, 32, 64), depths=(1, 2, 1))
    xla, native = family(**options), family(**options, convolutions="native")
    assert cost.count(native) == cost.count(xla)
    state = init_state(xla, make_optimizer(default().optimizer), (32, 32, 3), jax.random.key(0))
    images, labels = random(0, 16, 32, 32, 3), jax.nn.one_hot(jnp.arange(16) % 10, 10)

    def gradient(module):
        def loss(params):
            variables = {"params": params, "batch_stats": state.variables["batch_stats"]}
            logits, _ = module.apply(variables, images, train=True, mutable=["batch_stats"])
            return -(jax.nn.log_softmax(logits) * labels).sum(-1).mean()

        return jax.jit(jax.value_and_grad(loss))(state.variables["params"])

    for ours, theirs in zip(*map(jax.tree.leaves, (gradient(native), gradient(xla)))):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)


def test_without_a_compiler_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    load.cache_clear()
    with pytest.raises(
        UserError, match="needs a C.. compiler, .*no-such-compiler.*; install one, name it in .CXX, or use"
    ):
        load()


def test_a_library_is_compiled_once_and_appears_whole(tmp_path):
    load_it = [sys.executable, "-c", "from jaxstage.devices.cpu.native import load; load()"]
    made = []
    for _ in range(2):
        subprocess.run(load_it, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, check=True)
        (library,) = (tmp_path / "jaxstage" / "native").iterdir()
        made.append(library.stat().st_mtime_ns)
    assert made[0] == made[1]


def _truncate(library):
    os.truncate(library, library.stat().st_size // 2)


def _flip_a_bit(library):
    data = bytearray(library.read_bytes())
    data[len(data) // 2] ^= 1
    library.write_bytes(data)


def test_a_damaged_library_is_compiled_anew_and_one_that_others_may_write_is_not_loaded(tmp_path):
    """In processes of their own, as a bad library takes the interpreter down."""
    load_it = [sys.executable, "-c", "from jaxstage.devices.cpu.native import load; load()"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    begin = lambda: subprocess.Popen(load_it, env=environment, stderr=subprocess.PIPE, text=True)

    def load_in(*processes):
        said = [process.communicate()[1] for process in processes]
        assert [process.returncode for process in processes] == [0] * len(processes), said
        return said

    assert load_in(begin(), begin()) == ["", ""]  # at once, and neither takes the other's half
    (library,) = (tmp_path / "jaxstage" / "native").iterdir()
    assert library.parent.stat().st_mode & 0o777 == 0o700
    for damage in (_truncate, _flip_a_bit):
        damage(library)
        assert load_in(begin()) == [""] and convolution_library._is_whole(library)
    library.write_bytes(b"theirs")
    library.chmod(0o777)
    (said,) = load_in(begin())
    assert "may be written by others (mode 777): chmod go-w it, or set $XDG_CACHE_HOME; the convolutions" in said
    assert library.read_bytes() == b"theirs"


@pytest.mark.parametrize("place", ["/dev/null", "a relative one"])
def test_a_cache_that_cannot_be_is_one_line(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    monkeypatch.setenv("HOME", "/dev/null")
    with pytest.warns(JaxstageWarning, match="cannot be used .*are compiled for this run alone") as told:
        assert convolution_library._opened(convolution_library._compiler())
    assert len(told) == 1 and not list(tmp_path.iterdir())


def test_on_several_devices_under_jit_it_is_an_error(tmp_path):
    """XLA would gather the whole batch on every device."""
    command = [
        sys.executable,
        "-m",
        "jaxstage.main",
        "--config=configs/digits.py",
        "--config.convolutions=native",
        f"--workdir={tmp_path / 'run'}",
    ]
    environment = {**os.environ, **virtual_devices(2)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 1 and "set config.devices=1, or use 'xla'" in run.stderr
    assert not (tmp_path / "run").exists()


def test_it_is_advised_where_it_would_be_faster(monkeypatch):
    def advised(**changes):
        config = default()
        config.devices = 1
        config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
        return advisable(config)

    assert advised()
    for changes in ({"dtype": "bfloat16"}, {"family": "nasnet"}, {"family": "own:network"}):
        assert not advised(**{f"model__{key}": value for key, value in changes.items()})
    assert not advised(devices=2) and not advised(convolutions="native")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not advised()


def test_other_types_are_an_error():
    config = default()
    config.update({"convolutions": "native", "model": {"dtype": "bfloat16"}})
    with pytest.raises(UserError, match="config.convolutions='native': it computes in model.dtype=float32 only"):
        validate(config)
