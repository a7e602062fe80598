"""Tables: what files and data frames hold, against pandas and what was written."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from irem_core import InputFileError, SettingError, UnknownNameError, read_arrays, write_arrays
from irem_core.files import csv_files
from irem_core.files.arrays import reading
from irem_core.files.tables import Table, write_table

COLUMNS = ["id", "size", "price_a", "price_b", "kind"]
ROWS = [[0, 1.5, 10, -1e-3, "flat"], [1, 2.5, 20, 2e5, "house; big"], [2, 3.5, 30, 0, 'a "b", c']]


def table(file: Path, text: str) -> Table:
    file.write_text(text, encoding="utf-8")
    with reading(file):
        return Table.read(file)


def held(found: Table) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in found.columns.items()}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_quotes_and_marks_are_found(
    tmp_path: Path, separator: str, quoting: Any, encoding: str
) -> None:
    file = tmp_path / "a.csv"
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    frame.to_csv(file, sep=separator, quoting=quoting, encoding=encoding, index=False)
    found = Table.read(file)
    assert held(found) == held(Table.of(frame, "frame")) == frame.to_dict("list")
    assert found.index == "id"


def test_numbers_are_those_of_pandas_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_files, "_BLOCK", 7)
    file = tmp_path / "a.csv"
    values = np.random.default_rng(0).normal(size=(40, 3)) * 1e5
    frame = pd.DataFrame(values, columns=["a", "b", "c"])
    frame["late"] = ["1"] * 30 + ["two"] * 10  # numbers at first, and text after all
    frame.to_csv(file, index=False)
    found = Table.read(file)
    np.testing.assert_array_equal(found.array(["a", "b", "c"]), values)
    assert held(found)["late"] == frame["late"].tolist()


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a,b\n1,\n\n# no row\n2,n/a\n", {"a": [1, 2], "b": [np.nan, np.nan]}),
        ("a,b\nTrue,1e3\nfalse,inf\n", {"a": [1, 0], "b": [1000, np.inf]}),
        ("# a,b\n1,2\n", {"a": [1], "b": [2]}),
        ("# made by, a tool\n1,2\n", {"0": [1], "1": [2]}),
        ("1;2\n3;4\n", {"0": [1, 3], "1": [2, 4]}),
        ("a\n1\n", {"a": [1]}),
        ("a,b\n", {"a": [], "b": []}),
    ],
)
def test_headers_comments_and_gaps(
    text: str, columns: dict[str, list[float]], tmp_path: Path
) -> None:
    np.testing.assert_equal(held(table(tmp_path / "a.csv", text)), columns)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a;b\n1,5;2\n3,5;4\n", "decimal commas, such as 1,5"),
        ("1,5;2,5\n3,5;4\n", "decimal commas, such as 1,5"),
        ('a,b\n"1,5",2\n', "decimal commas, such as 1,5"),
        ("a,b\n1,2\n1,2,3\n", "line 3, has 3 cells; expected 2"),
        ("a,a\n1,2\n", "2 columns 'a'"),
        ("\n\n", "no data"),
    ],
)
def test_tables_that_cannot_be_right_are_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputFileError) as error:
        table(tmp_path / "a.csv", text)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        (",a\n5,1\n3,2\n", ""),
        ("Unnamed: 0,a\nu,1\nv,2\n", "Unnamed: 0"),
        ("ID,a\n1,1\n2,2\n", "ID"),
        ("id,a\n1,1\n3,2\n", None),
        ("id,a\n5,1\n6,2\n", None),
        ("size,a\n0,1\n1,2\n", None),
        ("a,id\n1,0\n2,1\n", None),
        ("0,5\n1,6\n", None),
    ],
)
def test_a_column_that_counts_rows_is_recognised(
    text: str, index: str | None, tmp_path: Path
) -> None:
    assert table(tmp_path / "a.csv", text).index == index


def test_names_and_globs_choose_columns() -> None:
    found = Table.of(pd.DataFrame(ROWS, columns=COLUMNS), "the table")
    assert found.chosen("kind, price_*", "--x") == ["kind", "price_a", "price_b"]
    assert found.chosen(["price_?", "price_a"], "--x") == ["price_a", "price_b"]
    assert found.chosen("*", "--x") == COLUMNS[1:]
    assert found.chosen("id", "--x") == ["id"]
    odd = Table.of(pd.DataFrame([[1, 2, 3]], columns=["x[2]", "a,b", "x2"]), "odd")
    assert odd.chosen('x[2],"a,b"', "--x") == ["x[2]", "a,b"]
    for wanted, words in (("prize_a", "Did you mean 'price_a'"), ("q*", "which --x names")):
        with pytest.raises(UnknownNameError, match=words):
            found.chosen(wanted, "--x")


def test_text_becomes_an_entry_a_category_when_asked() -> None:
    frame = pd.DataFrame({"n": [1.0, 2.0, 3.0], "kind": ["b", "a", "b"]})
    found = Table.of(frame, "the table")
    entries = found.entries(["n", "kind"], one_hot=True)
    dummies = pd.get_dummies(frame, columns=["kind"], prefix_sep="=")
    assert list(entries) == dummies.columns.tolist()
    np.testing.assert_array_equal(found.array(entries), dummies.to_numpy(float))
    with pytest.raises(InputFileError, match=r"such as 'b' in row 0.*--categories one-hot"):
        found.entries(["kind"], one_hot=False)
    other = Table.of(pd.DataFrame({"kind": ["a", "c"], "n": [1, 2]}), "other")
    with pytest.raises(InputFileError, match="holds 'c' in row 1, counted from 0; expected one of"):
        other.array(entries)
    with pytest.raises(InputFileError, match="has no column 'kind=a'; expected n, kind=a, kind=b"):
        Table.of(frame[["n"]], "narrow").array(entries)
    many = Table.of(pd.DataFrame({"name": [f"n{row}" for row in range(1001)]}), "many")
    with pytest.raises(InputFileError, match="1,001 different texts"):
        many.entries(["name"], one_hot=True)


def test_frames_hold_what_pandas_holds() -> None:
    frame = pd.DataFrame(
        {
            "missing": [1, None, 3],
            "nullable": pd.array([1, None, 2], dtype="Int64"),
            "flag": [True, False, True],
            "kind": pd.Categorical(["a", "b", "a"]),
            "gaps": ["u", None, "v"],
            7: [0.5, 1.5, 2.5],
            "when": pd.to_datetime(["2020", "2021", "2022"]),
        }
    )
    found = Table.of(frame, "the frame")
    numbers = found.array(["missing", "nullable", "flag", "7"])
    expected = [[1, 1, 1, 0.5], [np.nan, np.nan, 0, 1.5], [3, 2, 1, 2.5]]
    np.testing.assert_array_equal(numbers, expected)
    assert found.entries(["kind"], one_hot=True) == ("kind=a", "kind=b")
    assert held(found)["gaps"] == ["u", "", "v"]
    with pytest.raises(InputFileError, match="'when' holds datetime64"):
        found.array(["when"])


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".CSV", ".parquet", ".feather"])
def test_what_is_written_is_read_again(ending: str, tmp_path: Path) -> None:
    if ending in (".parquet", ".feather"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    file = tmp_path / f"a{ending}"
    columns = {
        "a, b": np.array([0.12345678, np.nan, 1e-7], np.float32),
        "fine": np.array([1e9 + 1e-7, 0.1, 2.0]),
        "steps": np.arange(3),
        "outcome": np.array(["converged", "budget spent", "nonfinite"], object),
    }
    write_table(file, columns)
    found = Table.read(file)
    assert list(found.columns) == list(columns)
    np.testing.assert_array_equal(found.columns["a, b"].astype(np.float32), columns["a, b"])
    np.testing.assert_array_equal(found.columns["fine"], columns["fine"])
    assert held(found)["steps"] == [0, 1, 2]
    assert held(found)["outcome"] == columns["outcome"].tolist()
    write_arrays(file, {"answers": np.arange(6.0).reshape(2, 3)})
    np.testing.assert_array_equal(next(iter(read_arrays(file).values())), [[0, 1, 2], [3, 4, 5]])


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.parquet"
    file.touch()
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    for act in (lambda: read_arrays(file), lambda: write_table(file, {"a": np.zeros(2)})):
        with pytest.raises(SettingError, match=r'pip install "irem-core\[tables\]"'):
            act()


def test_capital_endings_and_names_and_objects(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(2))
    (tmp_path / "x.npy").rename(tmp_path / "x.NPY")
    np.testing.assert_array_equal(read_arrays(tmp_path / "x.NPY")[""], np.eye(2))
    # Pickled, it takes fewer bytes than its header announces pointers for.
    np.savez(tmp_path / "a.npz", x=np.array([1, 2.5, None] * 20, object))
    with pytest.raises(InputFileError, match="it holds Python objects"):
        read_arrays(tmp_path / "a.npz")
