"""From a folder of somebody's photos, of every kind and partly useless, to a network and its answers."""

import json

import numpy as np
import PIL.Image
import pytest
from conftest import result_of

from jaxstage.cli import main

CLASSES = {"Gänse blümchen": 40, "rose": 80, "tulip": 120}
KINDS = ("exif.jpg", "cmyk.jpg", "alpha.png", "16 bits.png", "palette.png", "webp", "gif", "bmp", "tiff")


def photo(place: int, number: int) -> np.ndarray:
    """Classes differ by the side on which it is bright: every kind of picture keeps that."""
    pixels = np.random.default_rng((place, number)).integers(0, 90, (40 + number % 20, 48, 3), np.uint8)
    pixels[(np.s_[:20], np.s_[-20:], np.s_[:, :24])[place]] += 120
    return pixels


def save(pixels: np.ndarray, kind: str, path) -> None:
    exif, image = PIL.Image.Exif(), PIL.Image.fromarray(pixels)
    if kind == "exif.jpg":
        exif[0x0112], image = 6, image.transpose(PIL.Image.Transpose.ROTATE_90)
    elif kind == "cmyk.jpg":
        image = image.convert("CMYK")
    elif kind == "alpha.png":
        image.putalpha(PIL.Image.fromarray(np.full(pixels.shape[:2], 255, np.uint8)))
    elif kind == "16 bits.png":
        image = PIL.Image.fromarray(pixels.mean(-1).astype(np.uint16) * 256)
    elif kind == "palette.png":
        image = image.quantize(32)
    image.save(path, exif=exif)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "my photos"
    for place, (label, count) in enumerate(CLASSES.items()):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            save(photo(place, number), kind, folder / label / f"{number} {kind if '.' in kind else 'is.' + kind}")
    (folder / "rose" / "broken.jpg").write_bytes((folder / "rose" / "0 exif.jpg").read_bytes()[:-300])
    (folder / "tulip" / "notes.txt").write_text("from the garden")
    return folder


def test_photos_of_every_kind_become_a_network_that_knows_them(photos, program, tiny_search, tmp_path, capsys):
    sets, run = tmp_path / "sets", tmp_path / "run"
    main(["prepare", "mine", f"--folder={photos}", f"--data_dir={sets}"])
    prepared = capsys.readouterr()
    assert json.loads(prepared.out.splitlines()[-1])["splits"] == {"train": 240}
    assert "left out, truncated: rose/broken.jpg" in prepared.err
    assert "left out, not a picture by its name (.txt): tulip/notes.txt" in prepared.err
    rows = [line.split() for line in prepared.err.splitlines()]
    for row in (["Gänse", "blümchen", "40", "0"], ["rose", "80", "1"], ["tulip", "120", "1"]):
        assert row in rows

    following_the_set = ("--config.batch_size", "--config.importance.examples")
    of_the_set = ["--config.data.name=mine", f"--config.data.dir={sets}", "--config.data.workers=0"]
    found = result_of(
        program(
            *(flag for flag in tiny_search if not flag.startswith(following_the_set)),
            *of_the_set,
            "--config.data.image_size=(20,24)",
            "--config.growth.max_rounds=1",
            "--config.final.epochs=8",
            f"--workdir={run}",
        )
    )
    assert found["test_accuracy"] > 0.8 and found["models_trained"] >= 2
    assert "<td>mine/train</td><td>truncated</td>" in (run / "report.html").read_text().split("rose/broken.jpg")[1]

    main(
        [
            "evaluate",
            str(run),
            "--config.evaluate.latency_runs=1",
            f"--config.data.dir={sets}",
            "--config.data.workers=0",
        ]
    )
    evaluated = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert evaluated["accuracy"] == found["test_accuracy"]
    assert {name: of for name, (_, of) in evaluated["per_class_right"].items()} == {
        "Gänse blümchen": 8,
        "rose": 16,
        "tulip": 24,
    }

    pictures = [str(path) for path in sorted(photos.glob("*/*[!t]")) if path.name != "broken.jpg"]
    main(["predict", str(run), *pictures, "--json"])
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    right = np.mean([f"/{one['label']}/" in one["file"] for one in said])
    assert len(said) == 240 and right > 0.8
