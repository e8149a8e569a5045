"""Feeds what reads files of others with bytes that atheris makes up: `pip install atheris && python -m tests.fuzz --seconds=300`.

Whatever is in a file, reading it ends with a result or one clear line; anything else ends this with what was read and
the traceback.
"""

import argparse
import os
import pathlib
import sys
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300, help="end after so many (300)")
    seconds = parser.parse_args().seconds
    try:
        import atheris
    except ImportError:
        sys.exit("error: no atheris here: pip install atheris")
    with atheris.instrument_imports(include=["jaxstage"]):
        from jaxstage.errors import UserError
        from tests.foreign import READERS, written
    folder = pathlib.Path(tempfile.mkdtemp())
    place, names, corpus = written(folder), sorted(READERS), folder / "corpus"
    corpus.mkdir()
    whole = {name: (place / name).read_bytes() for name in names}
    for number, name in enumerate(names):
        (corpus / str(number)).write_bytes(bytes([number]) + whole[name])

    def read(data: bytes) -> None:
        """The first byte says whose file the others are."""
        name = names[data[0] % len(names)] if data else names[0]
        (place / name).write_bytes(data[1:])
        try:
            READERS[name](place / name)
        except UserError as error:
            assert 20 < len(str(error)) < 600 and "\n" not in str(error), error
        finally:
            (place / name).write_bytes(whole[name])

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=20000", str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
