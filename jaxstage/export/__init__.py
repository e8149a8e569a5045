"""A finished run's network in formats that others read: one file a format, which can write it and run what it wrote.

    format        for                                    input                             families
    stablehlo     JAX, without jaxstage or Flax          pixels uint8 (n, h, w, c)         all
    safetensors   the weights alone, by name             normalised float32 (n, h, w, c)   all
    torch         PyTorch: a state dict, a module file   pixels 0..255 (n, c, h, w)        those in torch_model.py
    onnx          onnxruntime and others                 pixels uint8 (n, c, h, w)         those in torch_model.py

Networks are exported in float32, whatever `model.dtype` they were trained in.
"""

import importlib
import importlib.util
import os
import pathlib

from jaxstage.errors import UserError
from jaxstage.files import local, require_within

EXPORTS = "exports"  # in a work directory

# format -> (packages that it needs beyond jaxstage's own, the extra that installs them)
FORMATS = {
    "stablehlo": ((), None),
    "safetensors": (("safetensors",), "safetensors"),
    "torch": (("torch",), "torch"),
    "onnx": (("torch", "onnxscript", "onnxruntime"), "onnx"),
}


def export(workdir: str | os.PathLike, format: str, out: str | os.PathLike | None = None, trust: bool = False) -> dict:
    """Exports the network of a finished run and checks it against Flax before it is there.

    Args:
      workdir: of the run.
      format: one of FORMATS.
      out: folder to make; None for WORKDIR/exports/FORMAT.
      trust: whether to import a model family that the run names, see `jaxstage.load`.

    Returns:
      {format, folder, files, largest_difference}: the last is of the logits, see `verify`.

    Raises:
      UserError: there is no finished run, the folder is there already, a package is missing, the format does not have
        the network's family, or the check failed, which leaves nothing behind.
    """
    if format not in FORMATS:
        raise UserError(f"unknown format {format!r}: choose one of {', '.join(FORMATS)}")
    packages, extra = FORMATS[format]
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise UserError(f"format {format} needs {' and '.join(missing)}: pip install 'jaxstage[{extra}]'")
    from jaxstage.export.network import open_network, verify, whole

    place = local(workdir, "WORKDIR")
    target = local(out, "--out") if out else place / EXPORTS / format
    if not out and (place / EXPORTS).exists():
        require_within(place / EXPORTS, place)  # a link that somebody left there is not written through
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already: delete it or choose another --out")
    network, exporter = open_network(place, trust), importlib.import_module(f"jaxstage.export.{format}")
    with whole(target) as folder:
        exporter.write(network, folder)
        network.describe(folder, pathlib.Path(__file__).parent / "examples" / f"{format}.py")
        difference = verify(network, lambda images: exporter.run(network, folder, images), format)
    files = sorted(path.name for path in target.iterdir())
    return {"format": format, "folder": str(target), "files": files, "largest_difference": difference}
