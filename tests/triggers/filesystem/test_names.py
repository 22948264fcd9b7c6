"""Which names count: globs as the shell has them."""

from __future__ import annotations

import pytest

from jetfleet.triggers.filesystem.names import Names

FIT = [
    ("*.csv", "a.csv"),
    ("*.csv", "deep/er/a.csv"),  # without a slash it is about the name
    ("in/*.csv", "in/a.csv"),
    ("./in/*.csv", "in/a.csv"),
    ("/in/*.csv", "in/a.csv"),
    ("**/*.csv", "a.csv"),
    ("**/*.csv", "deep/er/a.csv"),
    ("in/**/a.csv", "in/a.csv"),
    ("in/**/a.csv", "in/deep/er/a.csv"),
    ("in/**", "in/deep/a.csv"),
    ("in/", "in/deep/a.csv"),
    ("*.{csv,tsv}", "a.tsv"),
    ("{in,**/late}/*.{csv,t{s,x}v}", "x/y/late/a.txv"),
    ("[a-c]?.csv", "b1.csv"),
    ("[!a]*", "b.csv"),
    ("[]a]", "]"),
    ("*.[cC][sS][vV]", "a.CSV"),
    ("a*", "a\nb"),
    ("a{b", "a{b"),
    ("a}{b", "a}{b"),
    ("a,b", "a,b"),
    ("[z-a]", "[z-a]"),
    ("a[", "a["),
    ("[^a]", "^"),
    ("(a|b)+.$", "(a|b)+.$"),
]
UNFIT = [
    ("*.csv", "a.CSV"),
    ("*.csv", "a.csv.gz"),
    ("in/*.csv", "in/deep/a.csv"),
    ("in/*.csv", "other/in/a.csv"),
    ("in/**", "inside/a.csv"),
    ("in?a.csv", "in/a.csv"),
    ("in/[!a]b/c", "in//b/c"),
    ("*.{csv,tsv}", "a.txt"),
    ("[!a]*", "a.csv"),
    ("[^a]", "b"),
    ("a.csv", "abcsv"),
]


@pytest.mark.parametrize(("glob", "below"), FIT)
def test_a_glob_fits_what_it_fits_in_a_shell(glob: str, below: str) -> None:
    assert counts(below, [glob], []) and not counts(below, [], [glob])


@pytest.mark.parametrize(("glob", "below"), UNFIT)
def test_and_nothing_else(glob: str, below: str) -> None:
    assert not counts(below, [glob], []) and counts(below, [], [glob])


def test_one_of_several_globs_is_enough() -> None:
    assert all(counts(below, ["*.csv", "in/*.txt"], []) for below in ("x/a.csv", "in/a.txt"))
    assert not counts("x/a.txt", ["*.csv", "in/*.txt"], [])


def counts(below: str, patterns: list[str], ignore: list[str]) -> bool:
    return Names(patterns, ignore, hidden=True).count(below.rpartition("/")[2], below)
