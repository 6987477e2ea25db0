"""The layer picture of docs/architecture.md is true: who imports whom, who loads torch, and how large a module gets.

`errors` lies beneath everything, so anyone may import it. The root module (`__version__`) and `__main__` stand outside
the picture.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "hscodec"
PICTURE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")

ROW = re.compile(r"^(\d| ) +((?:[a-z_]+(?:/|\.py)?)(?:, [a-z_]+(?:/|\.py)?)*)(.*)$")
MAX_LINES = 400

OWNERS = {
    "click": ("cli",),
    "rich": ("cli.console",),
    "sounddevice": ("player.output",),
    # Corpus preparation reads what the codec refuses, such as very low sample rates.
    "soundfile": (
        "audio",
        "training.corpus_decode",
        "training.corpus_fetch",
        "training.corpus_pieces",
        "training.corpus_prepare",
    ),
    "zstandard": ("coding",),
}
TORCH_FREE = (
    "cli",
    "codec.chunk_length",
    "codec.constants",
    "codec.crop",
    "codec.info",
    "codec.playback",
    "codec.shared_models",
    "codec.verify",
    "data.index",
    "data.open_files",
    "registry",
    "metrics",
    "hypernet.config",
    "player.mixing",
    "player.output",
    "player.sample_queue",
    "training.corpus_prepare",
    "training.corpus_unpack",
)
"""Modules that start without torch although their layer as a whole may use it."""


def layers() -> dict[str, int]:
    """Return the layer of each package and module of the picture."""
    return {name: layer for layer, names, _ in rows() for name in names}


def rows() -> list[tuple[int, list[str], str]]:
    """Return (layer, names, remark) of each line of the picture."""
    block = PICTURE.split("## Layers")[1].split("```")[1]
    found: list[tuple[int, list[str], str]] = []
    for line in filter(str.strip, block.splitlines()):
        match = ROW.match(line)
        assert match, f"not a line of the picture: {line!r}"
        layer = int(match[1]) if match[1].strip() else found[-1][0]
        found.append((layer, [re.sub(r"/|\.py", "", name) for name in match[2].split(", ")], match[3]))
    return found


@cache
def modules() -> dict[str, Path]:
    """Return the file of each module of the package."""
    files = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def unit(module: str) -> str:
    """Return the package or module of the picture that a module belongs to; empty for the root."""
    return module.partition(".")[2].partition(".")[0]


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imports(module: str, *, when_loaded: bool = False) -> Iterator[str]:
    """Yield the absolute names of what a module imports; a name may be a module or something inside it.

    Args:
        module: Full name.
        when_loaded: Only what is imported when the module is: not in functions, not for type checkers.
    """
    stack: list[ast.AST] = [tree(module)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        is_typing = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        if when_loaded and is_function:
            continue
        children = node.orelse if when_loaded and is_typing and isinstance(node, ast.If) else ast.iter_child_nodes(node)
        stack.extend(children)


def to_module(name: str) -> str | None:
    """Return the module of this package that an imported name lies in, or None if it is not ours."""
    if name.partition(".")[0] != "hscodec":
        return None
    while name not in modules():
        name = name.rpartition(".")[0]
    return name


def loaded_with(module: str) -> set[str]:
    """Return everything that importing a module loads, by AST: our modules, and the names others are imported by."""
    seen: set[str] = set()
    stack = [module]
    while stack:
        name = stack.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in modules():
            # Importing a.b.c imports a and a.b first.
            parts = name.split(".")
            stack.extend(".".join(parts[:count]) for count in range(1, len(parts)))
            stack.extend(to_module(imported) or imported for imported in imports(name, when_loaded=True))
    return seen


def test_every_module_is_in_the_picture():
    drawn = {"hscodec", "hscodec.__main__"} | {name for name in modules() if unit(name) in layers()}
    assert set(modules()) - drawn == set()


def test_everything_in_the_picture_exists():
    assert set(layers()) - {unit(name) for name in modules()} == set()


@pytest.mark.parametrize("module", [name for name in modules() if unit(name) not in ("", "__main__")])
def test_imports_go_strictly_down(module):
    here = layers().get(unit(module), 99)
    wrong = []
    for imported in filter(None, map(to_module, imports(module))):
        other = unit(imported)
        if other not in ("", "errors", unit(module)) and layers().get(other, -1) >= here:
            wrong.append(imported)
    assert wrong == []


@pytest.mark.parametrize("module", modules())
def test_third_party_packages_have_one_home(module):
    own = module.removeprefix("hscodec.")
    for imported in imports(module):
        homes = OWNERS.get(imported.partition(".")[0])
        if homes is not None:
            assert any(own == home or own.startswith(f"{home}.") for home in homes), f"{module} imports {imported}"


def torch_free_modules() -> list[str]:
    marked = {name for _, names, remark in rows() if "no torch" in remark for name in names}
    assert marked, "the picture says which packages load no torch"
    explicit = {f"hscodec.{name}" for name in TORCH_FREE}
    return [
        name
        for name in modules()
        if unit(name) in marked or name in explicit or any(name.startswith(f"{prefix}.") for prefix in explicit)
    ]


@pytest.mark.parametrize("module", torch_free_modules())
def test_light_modules_do_not_load_torch(module):
    assert [name for name in loaded_with(module) if name.partition(".")[0] == "torch"] == []


@pytest.mark.parametrize("module", modules())
def test_modules_are_small(module):
    num_lines = len(modules()[module].read_text(encoding="utf-8").splitlines())
    assert num_lines <= MAX_LINES


def test_the_walk_sees_what_it_should():
    """Guards the guards: known imports of each sort are found."""
    assert "rich.progress.Progress" in set(imports("hscodec.cli.console"))
    assert "rich.progress.Progress" not in set(imports("hscodec.cli.console", when_loaded=True))
    assert "torch" in loaded_with("hscodec.model")
    assert "hscodec.errors" in loaded_with("hscodec.cli.main")
