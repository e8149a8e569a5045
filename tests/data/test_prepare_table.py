"""Preparing the pictures that a table lists."""

import codecs

import numpy as np
import PIL.Image
import pytest

from jaxstage.cli import main
from jaxstage.data.prepare import Columns, prepare_table
from jaxstage.data.sources import open_source
from jaxstage.errors import UserError


@pytest.fixture
def pictures(tmp_path):
    """A folder of ten pictures in two colours, and one that is none."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    for number in range(10):
        pixels = np.random.default_rng(number).integers(0, 100, (20 + number, 24, 3), np.uint8)
        pixels[..., number % 2] += 120
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG and no more")
    return folder


GOOD = [f'my pictures/{number}.png;"{("Gänse; wild", "rose")[number % 2]}"' for number in range(10)]
BAD = ["my pictures/broken.png;rose", "gone.png;rose", "a.heic;rose", "my pictures/0.png;", ";rose", GOOD[1]]


def test_a_table_of_excel_becomes_a_set_and_each_row_that_does_not_is_told(pictures, tmp_path, capsys):
    table = tmp_path / "list.csv"
    lines = ["File Name; Label", *GOOD, "", *BAD, "my pictures/2.png;rose"]
    table.write_bytes(codecs.BOM_UTF8 + "\r\n".join(lines).encode())
    found = prepare_table("mine", table, str(tmp_path / "sets"), Columns(picture="File Name"))
    assert found["splits"] == {"train": 11}
    assert found["repeated"] == {"same_class": 0, "other_class": 1, "train_and_test": 0, "near_train": 0}
    shown = capsys.readouterr().err
    assert f"{table}: pictures in column 'File Name', classes in 'Label'" in shown
    for why, path in {
        "not decodable": "my pictures/broken.png",
        "No such file or directory": "gone.png",
        ".heic cannot be read, convert it to JPEG or PNG": "a.heic",
        "no label": "my pictures/0.png",
        "no path": "row 15",
        "listed before": "my pictures/1.png",
    }.items():
        assert f"left out, {why}: {path}" in shown and found["why_left_out"].pop(why) == 1
    assert found["why_left_out"] == {}
    source = open_source("mine", str(tmp_path / "sets"))
    assert source.class_names == ("Gänse; wild", "rose")
    records = source.records("train")
    named = sorted((name, label) for _, label, name in (records[place] for place in range(11)))
    right = [(f"my pictures/{number}.png", number % 2) for number in range(10)]
    assert named == sorted([*right, ("my pictures/2.png", 1)])
    assert {one["image"] for one in source.left_out} == {"my pictures/broken.png", "gone.png", "a.heic"}


def test_splits_come_from_a_column_and_pictures_on_both_sides_are_counted(pictures, tmp_path, capsys):
    rows = [f"{pictures}/{n}.png\t{n % 2}\t{'Testing' if n > 7 else 'train'}" for n in range(10)]
    rows += [f"{pictures}/0.png\t0\ttest", f"{pictures}/1.png\t1\t"]
    (tmp_path / "list.tsv").write_text("\n".join(["image\tclass\tsplit", *rows]))
    main(["prepare", "mine", f"--table={tmp_path / 'list.tsv'}", f"--data_dir={tmp_path / 'sets'}"])
    shown = capsys.readouterr()
    assert '"splits": {"test": 3, "train": 8}' in shown.out or '"splits": {"train": 8, "test": 3}' in shown.out
    assert "so the test will look too good: 1" in shown.err and "left out, no split:" in shown.err
    assert open_source("mine", str(tmp_path / "sets")).class_names == ("0", "1")


def test_a_table_of_parquet(pictures, tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    paths = [f"my pictures/{number}.png" for number in range(10)] + [None]
    labels = pyarrow.array([float(number % 2) for number in range(10)] + [0.0])  # as of a column with gaps
    table = pyarrow.table({"id": range(11), "file": pyarrow.array(paths).dictionary_encode(), "target": labels})
    parquet.write_table(table, tmp_path / "list.parquet")
    found = prepare_table("mine", tmp_path / "list.parquet", str(tmp_path / "sets"))
    assert found["splits"] == {"train": 10} and found["why_left_out"] == {"no path": 1}
    assert open_source("mine", str(tmp_path / "sets")).class_names == ("0", "1")
    (tmp_path / "list.pq").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="list.pq cannot be read as Parquet"):
        prepare_table("other", tmp_path / "list.pq", str(tmp_path / "sets"))


MISTAKES = {
    "has no column of a usual name .path, file, filename and 7 more., only 'a', 'label': name one with --path_column": (
        "a,label\nx.png,rose"
    ),
    "has no column of a usual name .label, labels, class and 3 more.": "path,species\nx.png,rose",
    "none of the 2 pictures of .* is there, as .*/x.png: give paths relative": "path,label\nx.png,a\ny.png,b",
    "has only one class, 'a': give rows of two classes": "path,label\nx.png,a\ny.png,a",
    "has no row with a path and a label": "path,label\n",
    "row 2: 'later' is none of the splits train, validation, test": "path,label,split\na,b,train\nc,d,later",
    "has no picture for training": "path,label,split\na,b,test\nc,d,test",
    "line 3: unexpected end of data: mend that line": 'path,label\nx.png,"a\ny.png,b',
    r"'x\\x1b.png' in .* has control characters": "path,label\nx\x1b.png,a\ny.png,b",
    "has no column of a usual name .*, only :": "",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_tables_that_are_no_set_are_told(text, tmp_path):
    (tmp_path / "list.csv").write_text(MISTAKES[text])
    with pytest.raises(UserError, match=text):
        prepare_table("mine", tmp_path / "list.csv", str(tmp_path / "sets"))
    assert not (tmp_path / "sets").exists()


def test_other_mistakes_are_told(tmp_path, monkeypatch):
    (tmp_path / "list.csv").write_bytes("path,label\nx.png,Gänse".encode("latin-1"))
    with pytest.raises(UserError, match="no text in UTF-8 .*: save it as CSV in UTF-8"):
        prepare_table("mine", tmp_path / "list.csv", str(tmp_path))
    with pytest.raises(UserError, match="there is no file .*/no.csv"):
        prepare_table("mine", tmp_path / "no.csv", str(tmp_path))
    (tmp_path / "list.csv").write_text("path,label\nx.png,a")
    with pytest.raises(UserError, match="has no column 'species', only 'path', 'label': name one with --label_column"):
        prepare_table("mine", tmp_path / "list.csv", str(tmp_path), Columns(label="species"))
    for flags, line in {
        ("--folder=a", "--table=b"): "--folder and --table name two sources: give one",
        ("--folder=a", "--path_column=b"): "columns are of a --table or of --hugging_face",
    }.items():
        with pytest.raises(SystemExit, match=line):
            main(["prepare", "mine", *flags])
    (tmp_path / "list.parquet").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="list.parquet needs pyarrow: pip install 'jaxstage.parquet.'"):
        prepare_table("mine", tmp_path / "list.parquet", str(tmp_path))
