import json

import pytest
from click.testing import CliRunner

from benchmarks import provenance, report, tables
from benchmarks.results import SCHEMA
from benchmarks.summary import Summary
from hscodec.errors import HscodecError

OPTIONS = {"seconds": 6.0, "kind": "speech", "mono": False}


def row(clip, codec, rate_kbps, **scores):
    return {
        "clip": clip,
        "codec": codec,
        "setting": rate_kbps,
        "payload_kbps": rate_kbps,
        "file_kbps": rate_kbps + 1.0,
        "scores": scores,
    }


def content(rows, options=OPTIONS):
    run = provenance.collect(codecs={"opus": "libopus 1"}, corpus={"clips": 2, "sha256": "f" * 64})
    return {"schema": SCHEMA, "options": options, "runs": [run], "rows": rows}


@pytest.fixture
def measured():
    """Two clips; hsc-1 needs half the rate of Opus on both, but spreads its rates over the clips."""
    rows = []
    for clip, spread in (("a", 1.0), ("b", 4.0)):
        for rate_kbps, pesq in ((8, 2.0), (16, 3.0), (32, 4.0), (64, 4.5)):
            rows.append(row(clip, "opus", rate_kbps, pesq=pesq, lsd=5 - pesq))
            rows.append(row(clip, "hsc-1", rate_kbps / 2 * spread, pesq=pesq + (spread > 1) * 2, lsd=5 - pesq))
    return rows


def test_means_are_taken_clip_by_clip_over_those_that_reach_a_rate(measured):
    summary = Summary([content(measured)])
    assert summary.clips == ["a", "b"] and summary.codecs == ["hsc-1", "opus"] and summary.metrics == ["pesq", "lsd"]
    assert summary.mean_at("opus", "pesq", 16) == (3.0, 2)
    assert summary.mean_at("hsc-1", "pesq", 8) == (3.0, 1)
    assert summary.mean_at("hsc-1", "pesq", 32) == (pytest.approx((4.5 + 5.0) / 2), 2)
    mean, count = summary.mean_at("opus", "pesq", 4)
    assert mean != mean and count == 0


def test_bd_rate_is_clip_by_clip(measured):
    summary = Summary([content([each for each in measured if each["clip"] == "a"])])
    for metric in ("pesq", "lsd"):
        assert summary.bd_rate_percent("hsc-1", metric, anchor="opus") == (pytest.approx(-50), 1)
        assert summary.bd_rate_percent("opus", metric, anchor="hsc-1") == (pytest.approx(100), 1)


def test_later_files_replace_equal_rows(measured):
    better = [row("a", "opus", 16, pesq=3.5, lsd=1.0)]
    assert Summary([content(measured), content(better)]).curve("opus", "pesq", "a").at(16) == 3.5
    assert Summary([content(better), content(measured)]).curve("opus", "pesq", "a").at(16) == 3.0


def test_the_rate_counts_payload_or_files(measured):
    assert Summary([content(measured)], counted="file").curve("opus", "pesq", "a").at(17) == 3.0


def test_results_that_cannot_be_compared_are_refused(measured):
    with pytest.raises(HscodecError, match="different options"):
        Summary([content(measured), content(measured, {**OPTIONS, "kind": "music"})])
    with pytest.raises(HscodecError, match="no rows"):
        Summary([content([])])


def test_files_from_before_stereo_are_not_stereo(measured, tmp_path):
    old, new, stereo = (tmp_path / name for name in ("old.json", "new.json", "stereo.json"))
    old.write_text(json.dumps(content(measured)))
    new.write_text(json.dumps(content(measured, {**OPTIONS, "stereo": False})))
    stereo.write_text(json.dumps(content(measured, {**OPTIONS, "stereo": True})))
    assert CliRunner().invoke(report.main, [str(old), str(new)]).exit_code == 0
    done = CliRunner().invoke(report.main, [str(old), str(stereo)])
    assert done.exit_code == 1 and "different options" in done.output
    done = CliRunner().invoke(report.main, [str(stereo)])
    assert done.output.startswith("2 stereo clips (speech, the first 6 s of each)")
    assert "rates are of both channels together" in done.output


def test_the_table_shows_means_counts_and_bd_rates(measured, tmp_path):
    (tmp_path / "rd.json").write_text(json.dumps(content(measured)))
    done = CliRunner().invoke(report.main, [str(tmp_path / "rd.json"), "--at", "2,8,32"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("2 clips (speech, the first 6 s of each)")
    start = lines.index("### PESQ-WB (MOS), higher is better")
    assert lines[start + 2] == "| codec | 2 kbit/s | 8 kbit/s | 32 kbit/s | BD-rate |"
    assert lines[start + 4] == "| hsc-1 | - | 3.00 (1) | 4.75 | -50.0 % (1) |"
    assert lines[start + 5] == "| opus | - | 2.00 | 4.00 | - |"
    assert "### LSD (decades), lower is better" in lines
    assert "opus = libopus 1" in lines[-1]


def test_table_and_plot_are_written_and_repeatable(measured, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "rd.json").write_text(json.dumps(content(measured)))
    written = []
    for folder in ("one", "two"):
        table, plot = tmp_path / folder / "rd.md", tmp_path / folder / "rd.svg"
        arguments = [str(tmp_path / "rd.json"), "--table", str(table), "--plot", str(plot)]
        done = CliRunner().invoke(report.main, arguments)
        assert done.exit_code == 0 and not done.output, done.output
        written.append((table.read_bytes(), plot.read_bytes()))
    assert written[0] == written[1]
    assert b"<svg" in written[0][1] and b"PESQ-WB" in written[0][1]


def test_a_file_that_does_not_hold_results_is_reported(tmp_path):
    (tmp_path / "rd.json").write_text("{}")
    done = CliRunner().invoke(report.main, [str(tmp_path / "rd.json")])
    assert done.exit_code == 1 and "does not hold results" in done.output


def test_committed_results_can_be_reported():
    folder = report.Path(report.__file__).parent / "results"
    paths = sorted([*folder.glob("*-speech*.json"), *folder.glob("*-music.json")])
    assert len(paths) >= 6
    for path in paths:
        done = CliRunner().invoke(report.main, [str(path)])
        assert done.exit_code == 0 and "### SI-SDR" in done.output


def test_tables_go_between_the_marks_of_a_document(measured, tmp_path):
    results, document = tmp_path / "rd.json", tmp_path / "README.md"
    results.write_text(json.dumps(content(measured)))
    document.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    arguments = [str(results), "--at", "16", "--insert", str(document), "--table", str(tmp_path / "table.md")]
    for _ in range(2):  # a second time changes nothing
        assert CliRunner().invoke(report.main, arguments).exit_code == 0
        text = document.read_text()
        assert text.startswith("before\n") and text.endswith("\nafter\n")
        assert "old" not in text
        assert text.count("PESQ-WB") == 1
    document.write_text("no marks")
    outcome = CliRunner().invoke(report.main, arguments)
    assert outcome.exit_code == 1 and "does not hold" in outcome.output
