"""Everything of the studies that waits for a GPU, in order of value; each part is kept when it ends.

    python -m studies.gpu --data_dir=DIR --tables=../shared/depth_tables --out=DIR
    python -m studies.gpu --data_dir=DIR --tables=../shared/depth_tables --out=DIR --toy     # tries it on a CPU

The parts: an elastic network of one block type of NAS-Bench-Macro on all of CIFAR-10, annealed for 50 epochs, against
the table; a whole search of `cifar10:fast`; and `jaxstage compare` of that at equal MACs. What a part prints goes to
PART.log, which parts ended how to parts.json. The same command leaves out what has ended well.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

from jaxstage.files import write_json

TABLE = "nbm_111_111.json"
TOY = [
    "--config.data.examples=400",
    "--config.model.widths=(4,8,16)",
    "--config.model.depths=(1,1,1)",
    "--config.batch_size=32",
    "--config.candidate.epochs=1",
    "--config.final.epochs=1",
    "--config.candidate.warmup_epochs=0.0",
    "--config.final.warmup_epochs=0.0",
    "--config.growth.step=1",
    "--config.importance.examples=64",
    "--config.model.dtype=float32",
    "--config.growth.max_rounds=1",
    "--config.growth.max_macs=4000000",
]
BUDGET = ["--config.growth.max_macs=60000000"]  # that of depths (4, 4, 4) at widths 16, 32, 64, twice the start's


def parts(options: argparse.Namespace) -> dict[str, list[str]]:
    """The arguments of `python -m`, by the part's name."""
    out, data = options.out, f"--config.data.dir={options.data_dir}"
    shown, epochs, seeds = (600, 1, 1) if options.toy else (50_000, 50, 3)
    changes = TOY if options.toy else BUDGET
    return {
        "macro": [
            "studies.macro",
            f"--table={options.tables / TABLE}",
            f"--data_dir={options.data_dir}",
            f"--epochs={epochs}",
            f"--examples={shown}",
            f"--out={out / 'macro.json'}",
        ],
        "fast": [
            "jaxstage",
            "search",
            "--config=cifar10:fast",
            f"--workdir={out / 'fast'}",
            data,
            *(TOY if options.toy else []),
        ],
        "compare": [
            "jaxstage",
            "compare",
            "--config=cifar10:fast",
            "--arms=elastic,uniform,last",
            f"--seeds={seeds}",
            f"--workdir={out / 'compare'}",
            data,
            *changes,
        ],
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", metavar="DIR", required=True, help="where CIFAR-10 lies as a TFDS set")
    parser.add_argument("--tables", metavar="DIR", type=pathlib.Path, required=True, help="folder of depth tables")
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, required=True, help="where everything is kept")
    parser.add_argument(
        "--limit", metavar="SECONDS", type=float, default=540, help="for each part; it goes on next time"
    )
    parser.add_argument("--toy", action="store_true", help="everything tiny")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "parts.json"
    ended = json.loads(kept.read_text()) if kept.exists() else {}
    for name, command in parts(options).items():
        if ended.get(name, {}).get("code") == 0:
            continue
        start = time.monotonic()
        with (options.out / f"{name}.log").open("a") as log:
            process = subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=subprocess.STDOUT)
            try:
                code = process.wait(options.limit)
            except subprocess.TimeoutExpired:
                process.terminate()
                code = process.wait()
        ended[name] = {"code": code, "seconds": time.monotonic() - start, "command": ["python", "-m", *command]}
        write_json(kept, ended)
        print(f"{name}: ended with code {code} after {ended[name]['seconds']:.0f} s", flush=True)
    sys.exit(any(one["code"] for one in ended.values()))


if __name__ == "__main__":
    main()
