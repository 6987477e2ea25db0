import click
import pytest
import soundfile

from benchmarks import memory


def test_a_sound_is_made_as_long_as_it_was_asked_for(tmp_path, speech):
    soundfile.write(tmp_path / "clip.wav", speech(16_000, 0.5), 16_000)
    path = tmp_path / "long.wav"
    memory.write_sound(path, tmp_path / "clip.wav", sample_rate=8000, num_channels=2, seconds=61.5)
    about = soundfile.info(path)
    assert (about.frames, about.samplerate, about.channels) == (492_000, 8000, 2)


@pytest.mark.skipif(not hasattr(__import__("os"), "wait4"), reason="the system does not report memory")
def test_a_process_is_measured_with_its_pipes(tmp_path):
    help_page = tmp_path / "help.txt"
    row = memory.run(["--help"], stdout=help_page)
    assert "Commands" in help_page.read_text()
    assert 1e6 < row["peak_bytes"] < 8e9  # before it is replaced, a process is as large as what started it
    assert row["seconds"] > 0
    with pytest.raises(click.ClickException, match="ended with status 1"):
        memory.run(["info", "-"], stdin=help_page, stdout=tmp_path / "none.txt")


def test_a_row_as_text():
    row = {"action": "encode", "minutes": 180.0, "peak_bytes": 480_000_000, "seconds": 360.0}
    assert memory.report_line(row) == "encode          180 min: peak     480 MB, 360.0 s (30.0x real time)"
