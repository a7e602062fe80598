"""Hostile and damaged input: what fuzz.py found at length, and a little of the same each time."""

from __future__ import annotations

import io
import itertools
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fuzz
import fuzz_targets
from fuzz_targets import MOST_MEMORY, READERS, Broken, checked, good_model, signed
from irem_core import InputFileError, IremError, load, read_arrays
from irem_core.registry import ENERGIES
from irem_tasks.sat.dimacs import read_cnf
from trainings import run_python


def altered(seeds):
    """Draw bytes: a good input with a part replaced, cut out or doubled, or no good input."""

    @st.composite
    def draw_one(draw):
        content = draw(st.sampled_from(seeds))
        start = draw(st.integers(0, len(content)))
        stop = draw(st.integers(start, min(start + 12, len(content))))
        return content[:start] + draw(st.binary(max_size=12)) + content[stop:]

    return draw_one() | st.binary(max_size=60)


@pytest.mark.parametrize("name", READERS)
def test_readers_raise_nothing_but_errors_of_the_library(name):
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=altered(READERS[name][1]()))
    def feed(content):
        checked(name, content)

    for content in READERS[name][1]():
        checked(name, content)
    feed()


def test_fuzz_knows_the_readers_that_there_are():
    assert set(fuzz.NAMES) == set(READERS)


def test_fuzzing_would_see_what_a_reader_must_not_do(tmp_path, monkeypatch):
    """Each property is seen to fail where it does not hold."""

    def unpickle(data):
        pickle.loads(data)

    def write(data):
        (tmp_path / "elsewhere").write_bytes(data)

    def believe(data):
        try:
            np.empty(10**15, np.uint8)
        except MemoryError as error:
            raise InputFileError("too large") from error

    cases = {
        unpickle: (pickle.dumps(np.float64), Broken),
        write: (b"", Broken),
        believe: (b"", Broken),
        lambda data: json.loads(data): (b"[" * 10**5, RecursionError),
    }
    for reader, (data, error) in cases.items():
        monkeypatch.setitem(READERS, "broken", (reader, list))
        with pytest.raises(error):
            checked("broken", data)
    # The peak of a process that ran other tests may be high already, so a rise of it is played.
    peaks = itertools.count(0, MOST_MEMORY + 1)
    monkeypatch.setattr(fuzz_targets, "peak_memory", lambda: next(peaks))
    monkeypatch.setitem(READERS, "broken", (lambda data: None, list))
    with pytest.raises(Broken, match="took"):
        checked("broken", b"")


def npy(header, content=b"", version=1):
    text = header.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2, "little") + text + content


def array(shape, dtype="<f4"):
    return npy(f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n", bytes(64))


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def pickled():
    held = io.BytesIO()
    np.save(held, np.array([Bomb()], dtype=object), allow_pickle=True)
    return held.getvalue()


ARRAYS = {
    "a million million rows": array((10**12, 8)),
    "more than there are numbers": array((10**30, 8)),
    "a size that overflows": array((2**62, 8)),
    "fewer than no rows": array((-1, 8)),
    "long texts": array((4,), "<U2000000000"),
    "a pickle": pickled(),
    "an expression": npy("{'descr': __import__('os').getcwd(), 'shape': (1,)}\n"),
    "brackets": npy("(" * 9000 + "\n"),
    "fields with names": array((2,), [("a", "<f4")]),
    "a later version": npy("{}", version=3),
    "an endless integer": npy("{'shape': (" + "9" * 5000 + ",)}\n"),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_hostile_arrays_are_refused(tmp_path, name, ending):
    file = tmp_path / f"x{ending}"
    if ending == ".npy":
        file.write_bytes(ARRAYS[name])
    else:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", ARRAYS[name])
    checked(ending[1:], file.read_bytes() if ending == ".npy" else b"\0" + file.read_bytes())
    if name != "fields with names":
        with pytest.raises(InputFileError, match=rf"x\{ending} cannot be read as \{ending} \("):
            read_arrays(file)


def bomb(count, packing=zipfile.ZIP_DEFLATED):
    """Return an archive of so many arrays of 40 MB of zeros."""
    held = io.BytesIO()
    zeros = array((10**7,))[:-64] + bytes(4 * 10**7)
    with zipfile.ZipFile(held, "w", packing) as archive:
        for number in range(count):
            archive.writestr(f"{number}.npy", zeros)
    return held.getvalue()


def test_archives_that_unpack_to_much_are_refused_before_they_do(tmp_path):
    file = tmp_path / "x.npz"
    file.write_bytes(bomb(2))
    with pytest.raises(InputFileError, match="would unpack to 80,000,"):
        read_arrays(file)
    # Zeros of a size that anybody may have.
    file.write_bytes(bomb(1))
    assert {name: each.shape for name, each in read_arrays(file).items()} == {"0": (10**7,)}
    file.write_bytes(bomb(1, zipfile.ZIP_BZIP2))
    with pytest.raises(InputFileError, match="packed in a way that numpy does not write"):
        read_arrays(file)


def test_an_archive_that_lies_about_its_sizes_gives_no_more_than_it_says(tmp_path):
    content = bytearray(bomb(1))
    size = (10**7 * 4 + len(array((10**7,))) - 64).to_bytes(4, "little")
    assert content.count(size) == 2
    file = tmp_path / "x.npz"
    file.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(InputFileError, match="Bad CRC-32"):
        read_arrays(file)


def test_other_files_in_an_archive_are_passed_over(tmp_path):
    file = tmp_path / "x.npz"
    np.savez(file, x=np.ones(3))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("README", "what x is")
        archive.writestr("../../evil.npy", array((2,)))
    assert {name: each.tolist() for name, each in read_arrays(file).items()} == {
        "x": [1.0] * 3,
        "../../evil": [0.0] * 2,
    }
    assert [each.name for each in tmp_path.iterdir()] == ["x.npz"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p cnf 1000000000000 1\n1 0\n", "more than 100,000,000"),
        ("p cnf 90000000 1\n1 0\n", "90,000,000 variables, too many for 1 literals"),
        (
            "p cnf 9 4001\n" + "1 0\n" * 4000 + "1 " * 4000 + "0\n",
            "4001 clauses of up to 4000 literals are too many",
        ),
    ],
)
def test_a_short_formula_asks_for_little_memory(tmp_path, text, told):
    (tmp_path / "x.cnf").write_text(text)
    with pytest.raises(InputFileError, match=told):
        read_cnf(tmp_path / "x.cnf")


def test_gaps_between_variables_and_one_long_clause_are_no_attack(tmp_path):
    (tmp_path / "x.cnf").write_text("p cnf 999999 101\n" + "999999 0\n" * 100 + "1 " * 1000 + "0\n")
    literals, variables = read_cnf(tmp_path / "x.cnf")
    assert (tuple(literals.shape), variables) == ((101, 1000), 999999)


@pytest.mark.parametrize(
    "sizes",
    [{"width": 10**6}, {"depth": 10**9}, {"width": 10**18}, {"width": 33}, {"depth": 3}],
    ids=str,
)
def test_a_checkpoint_asks_for_no_more_weights_than_it_holds(tmp_path, sizes):
    tensors, metadata, _ = good_model()
    metadata = json.loads(json.dumps(metadata))
    metadata["solver"]["settings"]["energy"]["part"]["settings"].update(sizes)
    file = tmp_path / "model.safetensors"
    signed(file, tensors, metadata)
    built = []
    handle = torch.nn.modules.module.register_module_parameter_registration_hook(
        lambda module, name, each: built.append(each) if each.device.type != "meta" else None
    )
    told = r"of more weights than it holds|do not fit|overflowed"
    with handle, pytest.raises(IremError, match=told):
        load(file)
    assert built == []
    assert metadata["solver"]["settings"]["energy"]["part"]["group"] == ENERGIES


def test_an_error_about_a_network_takes_one_line(tmp_path):
    """An energy where a space belongs, which torch writes in several lines."""
    tensors, metadata, _ = good_model()
    metadata = json.loads(json.dumps(metadata))
    energy = metadata["solver"]["settings"]["energy"]
    energy["part"]["settings"]["question"] = json.loads(json.dumps(energy))
    signed(tmp_path / "model.safetensors", tensors, metadata)
    with pytest.raises(IremError, match=r"got question=MLPEnergy\(.*expected a Space") as raised:
        load(tmp_path)
    assert "\n" not in str(raised.value)


# Inputs that broke a reader once, by fuzz.py or by thought.
FOUND = {
    # A signalling NaN warned when its type was changed.
    "npy": [array((1, 8), "<f8")[:-64] + b"\x01\x00\x00\x00\x00\x00\xf0\x7f" * 8],
    "metrics": [b"[" * 10**5 + b"\n", b'{"iteration": 1, "evaluation": 5}\n', b'{"a": 1}\n'],
    "journal": [
        b"5\n",
        b"[1]\n",
        b'{"settings": {"seed": 0}}\n',
        b'{"settings": {"seed": 0}, "arrays": {"y": ["float32", [12, 4]]}}\n{"block": 0}\n',
        b'{"settings": {"seed": 0}, "arrays": {"y": ["object", [10000000000000]]}}\n',
        b'{"settings": {"seed": 0}, "arrays": {"y": ["float32", [12, 4]]}}\n'
        b'{"block": 0, "found": {"problems": "x", "outcomes": 1, "steps": [], "squared_error": 1}}',
        b"[" * 10**5,
    ],
}


@pytest.mark.parametrize(
    ("name", "content"),
    [(name, content) for name, contents in FOUND.items() for content in contents],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_broke_a_reader_once_does_so_no_more(name, content):
    checked(name, content)


def test_a_killed_writer_of_each_kind_leaves_whole_files(tmp_path):
    """The file before stays whole and readable, and what is half written bears another name."""
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from irem_core.files.arrays import write_arrays\n"
        "for name in sys.argv[1:]:\n"
        "    write_arrays(Path(name), {'y': np.ones((2, 2))})\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "for name in sys.argv[1:]:\n"
        "    if not os.fork():\n"
        "        write_arrays(Path(name), {'y': np.zeros((2, 2))})\n"
        "        os._exit(1)\n"
        "    assert os.WTERMSIG(os.wait()[1]) == signal.SIGKILL\n"
    )
    endings = (".npy", ".npz", ".csv", ".safetensors")
    run_python("-c", script, *(tmp_path / ending / f"y{ending}" for ending in endings))
    for ending in endings:
        folder = tmp_path / ending
        assert [each.name for each in folder.iterdir() if each.name.startswith("y")] == [
            f"y{ending}"
        ]
        (held,) = read_arrays(folder / f"y{ending}").values()
        assert held.tolist() == [[1, 1], [1, 1]]
