import re
import subprocess

from benchmarks import provenance


def test_facts_are_added_to_what_is_known():
    collected = provenance.collect(corpus="x")
    assert collected["corpus"] == "x"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", collected["date"])
    assert collected["packages"]["numpy"] and collected["cpu"] and collected["cpu_count"] >= 1


def test_the_commit_is_told_where_there_is_one(monkeypatch):
    assert re.fullmatch(r"[0-9a-f]{40}\+?", provenance.git_commit() or "0" * 40)

    def without_git(*arguments, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", without_git)
    assert provenance.git_commit() is None


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert provenance.collect()["threads"]["OMP_NUM_THREADS"] == "3"
