"""Exports the network of a finished run, checked against Flax.

    python -m jaxstage.export WORKDIR --format stablehlo     # JAX, without jaxstage or Flax
    python -m jaxstage.export WORKDIR --format safetensors   # the weights alone, by name
    python -m jaxstage.export WORKDIR --format torch         # PyTorch: a state dict and a module file
    python -m jaxstage.export WORKDIR --format onnx          # onnxruntime and others

The folder (--out, or WORKDIR/exports/FORMAT) gets the network, architecture.json and example.py, which runs it. It
appears only when the logits agree with Flax's to 1e-4 in the format's own runtime.
"""
import argparse
import json
import sys

from jaxstage.errors import UserError
from jaxstage.export import FORMATS, export


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jaxstage.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workdir", metavar="WORKDIR", help="of the run")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--out", metavar="DIR", help="folder to make")
    options = parser.parse_args(arguments)
    try:
        print(json.dumps(export(options.workdir, options.format, options.out)))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
