"""Plug-ins of third parties, as pip installs them: usable by name, and harmless when broken."""

import json
import sys

import pytest

from irem_core import GradientDescent, PluginError, SettingError, build
from irem_core import registry as reg
from irem_core.runs import description


def distribution(folder, name, group, entries, modules=None):
    """Write an installed distribution as pip leaves it, with the given entry points."""
    info = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = [f"{entry} = {target}" for entry, target in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    for module, source in (modules or {}).items():
        (folder / f"{module}.py").write_text(source)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_third_party_plug_in_is_usable_by_name(installed):
    source = (
        "import attrs\n"
        "from irem_core import GradientDescent\n"
        "@attrs.frozen(kw_only=True)\n"
        "class Slow(GradientDescent):\n"
        "    '''Slow.'''\n"
    )
    distribution(
        installed, "acme-slow", reg.DESCENTS, {"slow": "acme_slow:Slow"}, {"acme_slow": source}
    )
    plugin = reg.find(reg.DESCENTS, "slow")
    assert (plugin.distribution, plugin.version) == ("acme-slow", "1.2")
    assert "acme_slow" not in sys.modules
    slow = build(reg.DESCENTS, "slow(step_size=2)")
    assert slow.step_size == 2
    described = description.describe(slow)
    assert (described["name"], described["distribution"]) == ("slow", "acme-slow 1.2")
    assert description.rebuild(described) == slow


def test_two_plug_ins_with_one_name_are_refused_by_both_names(installed):
    for name in ("acme-one", "acme-two"):
        distribution(installed, name, reg.DESCENTS, {"fast": f"{name.replace('-', '_')}:Fast"})
    with pytest.raises(PluginError, match="'fast' is registered by both acme-one and acme-two"):
        build(reg.DESCENTS, "fast")
    # The others are as usable as before.
    assert build(reg.DESCENTS, "gradient") == GradientDescent()


def test_name_of_an_official_part_cannot_be_taken_over(installed):
    distribution(installed, "acme", reg.DESCENTS, {"gradient": "acme:Gradient"})
    with pytest.raises(PluginError, match="acme and irem-core"):
        build(reg.DESCENTS, "gradient")
    # A checkpoint that names the part is refused likewise, rather than built from another class.
    with pytest.raises(PluginError):
        description.rebuild(description.describe(GradientDescent()))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no\\nlicence')", "RuntimeError: no licence"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("syntax error", "SyntaxError"),
        ("", "AttributeError"),
    ],
)
def test_plug_in_that_cannot_be_imported(installed, monkeypatch, source, said):
    monkeypatch.delitem(sys.modules, "acme_broken", raising=False)
    entries = {"broken": "acme_broken:Broken"}
    distribution(installed, "acme-broken", reg.DESCENTS, entries, {"acme_broken": source})
    assert "broken" in {plugin.name for plugin in reg.plugins(reg.DESCENTS)}
    with pytest.raises(PluginError, match=f"acme-broken 1.2 cannot be imported.*{said}") as raised:
        build(reg.DESCENTS, "broken")
    assert isinstance(raised.value, ImportError)
    assert build(reg.DESCENTS, "gradient") == GradientDescent()
    assert description.describe(GradientDescent())["name"] == "gradient"


def test_plug_in_that_fails_on_its_settings(installed, monkeypatch):
    monkeypatch.delitem(sys.modules, "acme_odd", raising=False)
    source = "def odd(size=3):\n    return 2 * size // 'x'\n"
    distribution(installed, "acme-odd", reg.DESCENTS, {"odd": "acme_odd:odd"}, {"acme_odd": source})
    with pytest.raises(SettingError, match=r"'odd' cannot be built with size=5"):
        build(reg.DESCENTS, "odd(size=5)")


THEIRS = '''
import torch
from irem_core import EnergyFn, Preset

class Theirs(EnergyFn):
    """A squared distance from a learned multiple of x."""

    def __init__(self, question, answer):
        super().__init__()
        self.question, self.answer = question, answer
        self.factor = torch.nn.Linear(question.size, answer.size, bias=False)

    def energy(self, context, y):
        return (y - self.factor(context)).square().sum(-1)

    @classmethod
    def preset(cls, question, answer):
        return Preset(
            source="acme",
            solver={"steps": 2, "descent": "momentum(step_size=0.25)", "replay": 0},
            training={"iterations": 4, "batch_size": answer.size, "learning_rate": 0.02},
        )
'''


def test_third_party_energy_is_trained_with_settings_of_its_own(installed, irem):
    """One file and one line, and nothing of it in this library."""
    entries = {"theirs": "acme_theirs:Theirs"}
    distribution(installed, "acme", reg.ENERGIES, entries, {"acme_theirs": THEIRS})
    run = installed / "run"
    train = ["train", "add(size=3)", "--energy", "theirs", "--problems", "20", "--out", run]
    assert irem(*train).status == 0
    record = json.loads((run / "evaluation.json").read_text())
    settings = record["settings"]
    descent = settings["solver"]["descent"]["part"]
    assert (descent["name"], descent["settings"]["step_size"]) == ("momentum", 0.25)
    assert (settings["solver"]["steps"], settings["solver"]["replay"]) == (2, 0)
    assert (settings["batch_size"], settings["learning_rate"]) == (3, 0.02)
    assert (record["energy"], record["preset"], record["iterations"]) == ("theirs", "default", 4)
    assert "momentum" in irem("describe", "theirs").out

    # A preset that is named goes before the energy's own.
    train[-1] = installed / "tuned"
    options = ("--preset", "tuned", "--iterations", "2", "--descent", "gradient(step_size=0.1)")
    assert irem(*train, *options).status == 0
    record = json.loads((installed / "tuned" / "evaluation.json").read_text())
    assert (record["preset"], record["settings"]["batch_size"]) == ("tuned", 128)


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("Preset(source='acme', solver={'steps': 2}, training={'iterations': 1})", None),
        ("{'steps': 2}", "The preset of Theirs is a dict; expected a Preset"),
        (
            "Preset(source='acme', solver={}, training={'iteration': 1})",
            "sets iteration, which",
        ),
        ("Preset(source='acme', solver={'stps': 2}, training={})", "no setting 'stps'"),
    ],
)
def test_a_preset_may_be_an_attribute_and_what_is_wrong_with_it_is_said(
    installed, monkeypatch, irem, preset, said
):
    monkeypatch.delitem(sys.modules, "acme_theirs", raising=False)
    source = THEIRS.partition("    @classmethod")[0] + f"    preset = {preset}\n"
    distribution(
        installed, "acme", reg.ENERGIES, {"theirs": "acme_theirs:Theirs"}, {"acme_theirs": source}
    )
    train = ["train", "add(size=3)", "--energy", "theirs", "--descent", "gradient(step_size=0.1)"]
    result = irem(*train, "--problems", "20", "--out", installed / "run")
    assert result.status == (0 if said is None else 2)
    assert (said or "") in result.err
    assert len(result.err.splitlines()) <= 1
