"""The Python examples of the README and of docs/python.md run, in order, beside the sample sound."""

import inspect
import re
import shutil
from pathlib import Path

import pytest
import torch

import hscodec
from hscodec.data import HsndDataset

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")

# Examples have more workers than some machines have cores, and no use for the figures that they compute.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def run(page, folder, monkeypatch, speech):
    """Run all Python blocks of a page, and return what they leave behind."""
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    shutil.copy(speech, folder / "speech.flac")
    monkeypatch.chdir(folder)
    names = {"__name__": "examples"}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


def test_the_readme_s_examples_run(tmp_path, monkeypatch, speech, capsys):
    names = run("README.md", tmp_path, monkeypatch, speech)
    assert names["speech"].shape == (1, 96_152) and names["second"].shape == (1, 48_000)
    assert names["theta"].shape[:2] == (1, 51) and names["anywhere"].shape == (1, 2)
    assert names["batch"].samples.shape == (1, 1, 16_000)
    assert "kbit/s with hsc-" in capsys.readouterr().out


def test_the_page_s_examples_run(tmp_path, monkeypatch, speech):
    names = run("docs/python.md", tmp_path, monkeypatch, speech)
    whole = hscodec.read(tmp_path / "speech.hsnd", 16_000)[0]
    assert torch.equal(names["part"], whole[:, 16_000:32_000])
    assert torch.equal(names["words"], whole[:, 24_000:32_000])
    assert names["again"].shape[1] == 48_076 and names["wide"].shape[1] == 288_455
    assert names["info"].tags == (("title", "A sentence"),)
    assert names["slow"].shape[1] == 576_910 and names["fast"].shape[1] == 4_000
    assert torch.equal(names["backwards"].flip(1), hscodec.read(tmp_path / "speech.hsnd", 16_000, speed=2)[0])
    assert names["sung"].shape == (1, 8_000)
    assert names["delay"].item() == pytest.approx(25e-6, abs=2e-6)
    assert names["quiet"].shape == (1, 50 * 320)
    assert names["batch"].samples.shape == (1, 1, 16_000) and names["batch"].rate == 16_000


def test_the_page_names_every_function_and_option():
    for name in ("read", "write", "encode", "decode", "open"):
        assert f"`hscodec.{name}(" in PAGE
        row = re.search(rf"`hscodec\.{name}\((.*?)\)`", PAGE)[1]
        parameters = inspect.signature(getattr(hscodec, name)).parameters
        for part in row.split(", "):
            argument, _, default = part.partition("=")
            assert argument in parameters
            assert not default or repr(parameters[argument].default) == default
    options = set(inspect.signature(HsndDataset).parameters) - {"paths"}
    table = PAGE.split("The options:")[1].split("\n\n")[1]
    assert options == {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)", row.split("|")[1])}
