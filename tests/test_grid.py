"""benchmarks/grid.py: what is finished is kept, what failed is tried again."""

import sys

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))  # for this process and the ones that the grid starts
import grid


def count(workdir, number):
    with (workdir / "runs.txt").open("a") as file:
        file.write("x")
    print("counting", number)
    if number < 0 and len((workdir / "runs.txt").read_text()) < 2:
        raise ValueError("the first time goes wrong")
    return {"twice": 2 * number}


def test_a_grid_goes_on_where_it_ended(tmp_path, capsys):
    cells = [grid.Cell(f"cell{number}", count, (number,)) for number in (1, -2, 3)]
    with pytest.raises(RuntimeError, match="1 cells failed.*cell-2"):
        grid.run(cells, tmp_path, jobs=2)
    results = grid.run(cells, tmp_path)
    assert list(results.items()) == [("cell1", {"twice": 2}), ("cell-2", {"twice": -4}), ("cell3", {"twice": 6})]
    runs = {cell.name: len((tmp_path / cell.name / "runs.txt").read_text()) for cell in cells}
    assert runs == {"cell1": 1, "cell-2": 2, "cell3": 1}
    assert "counting 3" in (tmp_path / "cell3" / grid.LOG).read_text()
    assert "3 cells, 2 of them finished" in capsys.readouterr().out
