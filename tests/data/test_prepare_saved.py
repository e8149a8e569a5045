"""Preparing what Hugging Face's `datasets` has saved on disk."""

import numpy as np
import PIL.Image
import pytest

from jaxstage.data.prepare import Columns, prepare_hugging_face
from jaxstage.data.sources import open_source
from jaxstage.errors import UserError


def pictures(number):
    random = np.random.default_rng(number)
    return [PIL.Image.fromarray(random.integers(0, 256, (20 + n, 30, 3), np.uint8)) for n in range(number)]


@pytest.fixture
def saved(tmp_path):
    """Splits of 6, 4, 2 and 2 pictures; labels of the test are kept back, and one picture is broken."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"label": datasets.ClassLabel(names=["b c", "ä"]), "photo": datasets.Image()})
    make = lambda photos, labels: datasets.Dataset.from_dict({"photo": photos, "label": labels}, features=features)
    broken = {"bytes": b"\x89PNG and no more", "path": "broken.png"}
    PIL.Image.fromarray(np.full((20, 30, 3), 7, np.uint8)).save(tmp_path / "beside.png")
    beside = {"bytes": None, "path": str(tmp_path / "beside.png")}
    splits = {
        "train": make([*pictures(4), broken, beside], [0, 1] * 3).shuffle(seed=1),
        "validation": make(pictures(4), [0, 1] * 2),
        "test": make(pictures(2), [-1, -1]),
        "extra": make(pictures(2), [0, 1]),
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_saved_data_set_becomes_a_set(saved, tmp_path, capsys):
    import datasets

    found = prepare_hugging_face("mine", saved, str(tmp_path / "sets"))
    assert found["splits"] == {"train": 5, "validation": 4} and found["pictures"] == 9
    told = capsys.readouterr().err
    assert f"{saved}: pictures in column 'photo', classes in 'label'" in told
    assert "left out, no label: test/0, test/1" in told
    assert "left out, a split that is not for training, validation or the test: extra" in told
    source = open_source("mine", str(tmp_path / "sets"))
    assert source.class_names == ("b c", "ä") and source.test_name == "validation"
    (broken,) = source.left_out
    assert broken["why"] == "not decodable" and broken["image"].startswith("train/")
    rows = datasets.load_from_disk(saved)["train"]
    records = source.records("train")
    for data, label, name in (records[place] for place in range(5)):
        assert rows[int(name.removeprefix("train/"))]["label"] == label and data.startswith(b"\x89PNG")


def test_one_data_set_with_labels_in_words(tmp_path):
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_dict({"image": pictures(4), "kind": ["cat", "dog", "cat", None]})
    one.cast_column("image", datasets.Image()).save_to_disk(tmp_path / "saved")
    with pytest.raises(UserError, match="only 'image', 'kind': name one with --label_column"):
        prepare_hugging_face("mine", tmp_path / "saved", str(tmp_path / "sets"))
    found = prepare_hugging_face("mine", tmp_path / "saved", str(tmp_path / "sets"), Columns(label="kind"))
    assert found["splits"] == {"train": 3} and found["why_left_out"] == {"no label": 1}


def test_damage_is_told(saved, tmp_path):
    (arrow,) = (saved / "train").glob("*.arrow")
    data = arrow.read_bytes()
    arrow.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="saved cannot be read as a data set .*: give the folder that save_to_disk"):
        prepare_hugging_face("mine", saved, str(tmp_path / "sets"))
    arrow.write_bytes(data)
    info = saved / "train" / "dataset_info.json"
    info.write_text(info.read_text().replace('"\\u00e4"', '"b"').replace('"b c",', ""))  # a class fewer than labels
    with pytest.raises(UserError, match="saved cannot be read as a data set"):
        prepare_hugging_face("mine", saved, str(tmp_path / "sets"))


def test_mistakes_are_told(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    prepare = lambda folder, columns=Columns(): prepare_hugging_face("mine", tmp_path / folder, str(tmp_path), columns)
    with pytest.raises(UserError, match="there is no folder .*/none"):
        prepare("none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty cannot be read as a data set .*: give the folder that save_to_disk"):
        prepare("empty")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs datasets: pip install 'jaxstage.huggingface.'"):
        prepare("empty")
