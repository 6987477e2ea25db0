import gc
import subprocess
import sys

import pytest

from hscodec.cli.imports import heavy_imports


def test_no_garbage_is_looked_for_meanwhile_and_it_is_afterwards():
    assert gc.isenabled()
    try:
        with pytest.raises(ImportError), heavy_imports():
            assert not gc.isenabled()
            import a_module_that_is_not_there  # noqa: F401 # pyright: ignore[reportMissingImports]
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_whoever_has_switched_it_off_keeps_it_off():
    gc.disable()
    try:
        with heavy_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.mark.parametrize("command", ["decode", "encode", "fit", "play"])
def test_torch_is_imported_by_no_command_page(command):
    code = f"import sys; from hscodec.cli import {command}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
