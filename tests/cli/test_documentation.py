"""docs/cli.md and the README say what the program does."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hscodec.cli.main import COMMANDS, main

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
OPTION_ROW = re.compile(r"^\| (`-.+?) \|", re.MULTILINE)


def commands(group: click.Group = main, prefix: str = "hscodec") -> Iterator[tuple[str, click.Command]]:
    """Yield the full name of each command that is not a group, and the command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


ALL = dict(commands())


def sections() -> dict[str, str]:
    """Return the text below each heading of the page that names a command."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return {name: text for name, text in zip(parts[1::2], parts[2::2], strict=True) if name.startswith("hscodec")}


def test_there_is_a_section_for_each_command_and_no_other():
    assert list(sections()) == list(ALL)


@pytest.mark.parametrize("name", ALL)
def test_the_table_has_every_option_and_no_other(name):
    options = {" ".join(sorted(param.opts)) for param in ALL[name].params if isinstance(param, click.Option)}
    documented = {" ".join(sorted(re.findall(r"`(-.+?)`", row))) for row in OPTION_ROW.findall(sections()[name])}
    assert documented == options


@pytest.mark.parametrize("name", ALL)
def test_the_synopsis_is_the_program_s(name):
    usage = ALL[name].get_usage(click.Context(ALL[name], info_name=name)).removeprefix("Usage: ")
    usage = " ".join(usage.split())
    if not any(isinstance(param, click.Option) for param in ALL[name].params):
        usage = usage.replace(" [OPTIONS]", "")
    assert f"```\n{usage}\n```" in sections()[name]


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_option_explains_itself(name):
    assert ALL[name].help
    assert [param.name for param in ALL[name].params if isinstance(param, click.Option) and not param.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_names_each_command(name):
    assert f"hscodec {name}" in README


def test_the_readme_starts_with_installing_and_testing():
    first, second, *_ = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    assert first.startswith("pip install . && hscodec encode tests/data/speech.flac ")
    assert second == 'pip install ".[test]" && pytest\n'
    assert (REPOSITORY / "tests" / "data" / "speech.flac").is_file()


@pytest.mark.parametrize("page", ["README.md", "docs/cli.md", "docs/python.md", "CHANGELOG.md", "tests/data/README.md"])
def test_links_between_pages_lead_somewhere(page):
    path = REPOSITORY / page
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_tunings_are_the_registry_s():
    from hscodec.cli.encode import TUNINGS
    from hscodec.registry import DEFAULT_MODEL, TUNED_MODELS

    assert tuple(TUNED_MODELS) == TUNINGS
    assert TUNED_MODELS[TUNINGS[0]] == DEFAULT_MODEL
    assert all(f"`{tuning}`" in sections()["hscodec encode"] for tuning in TUNINGS)
