"""Checkpoints: what is saved is what is loaded, and nothing else is."""

import contextlib
import io
import json
import pickle
from importlib.metadata import version

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from irem_baselines import Feedforward
from irem_core import (
    IREM,
    Adam,
    AnyOf,
    BarzilaiBorwein,
    Calibrated,
    CheckpointError,
    DescentError,
    EnergyPlateau,
    FullUnroll,
    GradientDescent,
    GradientNorm,
    IremError,
    MatrixSpace,
    MLPEnergy,
    Momentum,
    ScratchpadMLPEnergy,
    SettingError,
    UnknownNameError,
    UnknownSettingError,
    VectorSpace,
    load,
    save,
    settings_of,
)
from irem_core.runs import checkpoint as checkpoints
from irem_core.runs.description import describe
from trainings import TASK, DropoutEnergy, ScratchEnergy, bits, small_solver

BOUNDED = VectorSpace(4, low=0.0, high=2.5)
SOLVERS = {
    "defaults": lambda: IREM(MLPEnergy.for_task(TASK, width=16)),
    "mlp": lambda: IREM(
        MLPEnergy(VectorSpace(8), BOUNDED, width=8, depth=1),
        steps=3,
        descent=Momentum(step_size=0.1 + 0.2, momentum=0.5),
        halting=AnyOf(EnergyPlateau(tolerance=1e-3, patience=2), GradientNorm(tolerance=1e-7)),
        backprop=FullUnroll(),
        replay=0,
        replayed=0.25,
        objective=DescentError(supervise="every") + 0.5 * Calibrated(),
    ),
    "scratchpad": lambda: IREM(
        ScratchpadMLPEnergy(VectorSpace(8), MatrixSpace(2, 2), scratchpad=3, width=8, depth=2),
        descent=Adam(step_size=0.3),
        replay=7,
    ),
    "barzilai-borwein": lambda: small_solver(descent=BarzilaiBorwein()),
    "feedforward": lambda: Feedforward(VectorSpace(8), BOUNDED, width=8, depth=1),
}


@pytest.fixture
def file(tmp_path):
    return save(small_solver(), tmp_path)


@pytest.mark.parametrize("name", SOLVERS)
def test_round_trip_restores_weights_settings_and_answers(tmp_path, name):
    solver = SOLVERS[name]()
    path = save(solver, tmp_path, task=TASK, training={"seed": 3})
    assert path == tmp_path / "model.safetensors"
    loaded = load(tmp_path)
    assert type(loaded) is type(solver)
    assert bits(loaded) == bits(solver)
    assert not loaded.training
    given, restored = settings_of(solver), settings_of(loaded)
    if "energy" in given:
        energies = given.pop("energy"), restored.pop("energy")
        assert type(energies[1]) is type(energies[0])
        assert settings_of(energies[1]) == settings_of(energies[0])
        assert restored["descent"] is loaded.descent
    assert restored == given
    assert (loaded.question, loaded.answer) == (solver.question, solver.answer)
    x = torch.rand(5, 8)
    assert torch.equal(loaded.solve(x, max_steps=4).y, solver.eval().solve(x, max_steps=4).y)
    # Saving what was loaded writes the same again.
    again = save(loaded, tmp_path / "again", task=TASK, training={"seed": 3})
    assert checkpoints.read_metadata(again) == checkpoints.read_metadata(path)


def test_settings_left_out_are_recorded_with_their_defaults(file):
    """Otherwise another version's defaults would change the solver."""
    described = checkpoints.read_metadata(file)["solver"]["settings"]
    assert described["replayed"] == 1.0
    assert described["halting"]["part"]["settings"] == {
        "relative": 1e-2,
        "absolute": 1e-6,
        "patience": 3,
    }
    assert described["energy"]["part"]["settings"].keys() == {
        "question",
        "answer",
        "width",
        "depth",
    }


def test_run_folder_and_model_file_are_equally_good(file):
    assert bits(load(file)) == bits(load(str(file.parent))) == bits(load(file.parent))


def test_reading_the_metadata_alone(file):
    metadata = checkpoints.read_metadata(file.parent)
    assert metadata["format"] == 1
    assert metadata["solver"]["name"] == "irem"
    assert metadata["versions"]["torch"] == version("torch")


def test_saving_leaves_the_solver_and_the_random_state_alone(tmp_path):
    solver = small_solver().train()
    weights, state = bits(solver), torch.get_rng_state()
    save(solver, tmp_path)
    load(tmp_path)
    assert bits(solver) == weights
    assert solver.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("energy", [DropoutEnergy, ScratchEnergy])
def test_unregistered_energy_is_asked_for_and_then_taken(tmp_path, energy):
    solver = small_solver(energy)
    save(solver, tmp_path)
    shown = rf"load\(path, energy={energy.__name__}\(\.\.\.\)\)"
    with pytest.raises(CheckpointError, match=shown):
        load(tmp_path)
    own = energy.for_task(TASK, seed=9)
    loaded = load(tmp_path, energy=own)
    assert loaded.energy is own
    assert bits(loaded) == bits(solver)
    assert settings_of(loaded)["descent"] == GradientDescent(step_size=1.0)
    whole = small_solver(energy, seed=9)
    assert load(tmp_path, solver=whole) is whole
    assert bits(whole) == bits(solver)


class Wrapped(Feedforward):
    """A solver that no package registers."""


def test_unregistered_solver_is_asked_for(tmp_path):
    solver = Wrapped(VectorSpace(8), VectorSpace(4), width=8)
    save(solver, tmp_path)
    with pytest.raises(CheckpointError, match=r"load\(path, solver=Wrapped\(\.\.\.\)\)"):
        load(tmp_path)
    assert bits(load(tmp_path, solver=Wrapped(VectorSpace(8), VectorSpace(4), width=8))) == bits(
        solver
    )


def test_energy_of_other_shapes_is_refused_by_name(tmp_path):
    save(small_solver(DropoutEnergy), tmp_path)
    with pytest.raises(CheckpointError, match=r"energy\.hidden\.weight.*\(16, 12\).*\(8, 12\)"):
        load(tmp_path, energy=DropoutEnergy.for_task(TASK, width=8))
    with pytest.raises(CheckpointError, match=r"energy\.hidden\.bias is \(16,\), expected nothing"):
        load(tmp_path, energy=ScratchEnergy.for_task(TASK))


def test_missing_file(tmp_path):
    for path in (tmp_path, tmp_path / "model.safetensors", tmp_path / "no" / "such"):
        with pytest.raises(CheckpointError, match="There is no file"):
            load(path)


def test_truncated_at_every_length(file):
    content = file.read_bytes()
    for length in [*range(0, 200, 7), *range(200, len(content), 97), len(content) - 1]:
        file.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            load(file)


def test_any_flipped_byte_is_noticed(file):
    content = file.read_bytes()
    for place in [*range(0, 8), *range(8, len(content), 61), len(content) - 1]:
        damaged = bytearray(content)
        damaged[place] ^= 0x01
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            load(file)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=400))
def test_random_bytes_are_no_checkpoint(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("random") / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError):
        load(file)


def test_foreign_files(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file({"weight": torch.ones(2)}, file)
    with pytest.raises(CheckpointError, match="not written by irem"):
        load(file)
    save_file({"weight": torch.ones(2)}, file, metadata={"irem": "[1, 2]"})
    with pytest.raises(CheckpointError, match="not written by irem"):
        load(file)
    torch.save({"weight": torch.ones(2)}, file)
    with pytest.raises(CheckpointError, match="truncated or no safetensors file"):
        load(file)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_never_loaded(tmp_path):
    buffer = io.BytesIO()
    pickle.dump(Bomb(), buffer)
    for name in ("model.safetensors", "training.safetensors"):
        (tmp_path / name).write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError):
        load(tmp_path)


def rewritten(file, change):
    """Change a file's metadata as an attacker would, with a digest that fits."""
    with checkpoints.safe_open(file, framework="pt") as opened:
        metadata = json.loads(opened.metadata()["irem"])
    change(metadata)
    checkpoints.write(file, load_file(file), {**metadata})


def test_metadata_altered_without_its_digest(file):
    with checkpoints.safe_open(file, framework="pt") as opened:
        raw = dict(opened.metadata())
    raw["irem"] = raw["irem"].replace('"step_size": 1.0', '"step_size": 2.0')
    save_file(load_file(file), file, metadata=raw)
    with pytest.raises(CheckpointError, match="altered or damaged"):
        load(file)


def test_another_format_version(file):
    rewritten(file, lambda metadata: metadata.update(format=2))
    with pytest.raises(CheckpointError, match=r"format 2.*reads format 1"):
        load(file)


def solver_part(metadata, name):
    return metadata["solver"]["settings"][name]["part"]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (
            lambda m: solver_part(m, "descent").update(name="gone", distribution="irem-gone 2"),
            UnknownNameError,
            "needs the descent 'gone' of irem-gone 2, which is not installed",
        ),
        (
            lambda m: solver_part(m, "descent")["settings"].update(speed=1),
            UnknownSettingError,
            "no setting 'speed'",
        ),
        (
            lambda m: solver_part(m, "descent")["settings"].update(step_size=-1),
            SettingError,
            "step_size=-1",
        ),
        (
            lambda m: solver_part(m, "energy")["settings"].update(width=17),
            CheckpointError,
            r"do not fit IREM.*is \(16,\), expected \(17,\)",
        ),
        (lambda m: m.pop("solver"), CheckpointError, "no description"),
        (lambda m: m.update(solver=3), CheckpointError, "no description"),
        (lambda m: m["solver"].update(settings=[]), CheckpointError, "no description"),
        (lambda m: m["solver"].update(group=["irem.solvers"]), CheckpointError, "no description"),
        (lambda m: m["solver"].update(name=5), CheckpointError, "no description"),
        (
            lambda m: m.update(solver=solver_part(m, "descent")),
            CheckpointError,
            "a GradientDescent where a Solver belongs",
        ),
        (
            lambda m: solver_part(m, "energy").update(solver_part(m, "descent")),
            SettingError,
            "expected a Landscape",
        ),
        (lambda m: m["solver"].update(group="os"), CheckpointError, "not registered"),
        (
            lambda m: m["solver"]["settings"].update(descent={"unknown": "<object>"}),
            CheckpointError,
            "cannot be rebuilt",
        ),
    ],
)
def test_malformed_descriptions_are_refused_with_a_sentence(file, change, error, said):
    rewritten(file, change)
    with pytest.raises(error, match=said):
        load(file)


METADATA = {"solver": describe(small_solver()), "spaces": {"question": None, "answer": None}}
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEY = st.text(max_size=3) | st.sampled_from(
    ["group", "class", "name", "settings", "part", "energy", "descent"]
)


def nested(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=4)


JSON = SCALAR | nested(SCALAR) | nested(SCALAR | nested(SCALAR))


@settings(max_examples=30, deadline=None)
@given(content=JSON, where=st.sampled_from(["solver", "descent", "energy", "spaces"]))
def test_no_description_raises_anything_but_an_error_of_the_library(
    tmp_path_factory, content, where
):
    if where in METADATA:
        metadata = METADATA | {where: content}
    else:
        altered = METADATA["solver"]["settings"] | {where: content}
        metadata = METADATA | {"solver": METADATA["solver"] | {"settings": altered}}
    file = tmp_path_factory.mktemp("fuzzed") / "model.safetensors"
    checkpoints.write(file, small_solver().state_dict(), metadata)
    with contextlib.suppress(IremError):
        load(file)


def test_nesting_without_end_is_refused(file):
    def nest(metadata):
        inner = metadata["solver"]
        for _ in range(150):
            inner = {**metadata["solver"], "settings": {"energy": {"part": inner}}}
        metadata["solver"] = inner

    rewritten(file, nest)
    with pytest.raises(IremError):
        load(file)


def test_names_in_a_file_cannot_reach_beyond_the_registry(file):
    """A class that exists but is no plug-in is not imported, whatever the file says."""

    def change(metadata):
        metadata["solver"].update({"class": "subprocess:Popen", "name": "popen"})

    rewritten(file, change)
    with pytest.raises(UnknownNameError, match="popen"):
        load(file)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.bfloat16, torch.float64])
def test_tensors_of_every_kind_are_kept_to_the_bit(tmp_path, dtype):
    tensors = {
        "matrix": torch.arange(6).reshape(2, 3).to(dtype).T,
        "number": torch.tensor(1).to(dtype),
        "empty": torch.zeros(0, 3, dtype=dtype),
    }
    checkpoints.write(tmp_path / "some.safetensors", tensors, {"note": "ü"})
    read, metadata = checkpoints.read(tmp_path / "some.safetensors")
    assert metadata == {"format": 1, "note": "ü"}
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == dtype
        assert torch.equal(read[name], tensor)


def test_double_precision_survives(tmp_path):
    solver = small_solver().double()
    save(solver, tmp_path)
    assert bits(load(tmp_path)) == bits(solver)


def test_solver_is_described_in_words(file):
    described = describe(small_solver())
    assert described["class"] == "irem_core.solvers.irem:IREM"
    assert described["distribution"].startswith("irem-core ")
    assert json.loads(json.dumps(described)) == checkpoints.read_metadata(file)["solver"]
