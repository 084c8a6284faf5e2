"""The report needs no web, describes its figures, and never stops handing in."""

import zipfile
from pathlib import Path

import pytest

from common.submit import __main__ as command
from common.submit import render as rendering
from common.submit.checks import run_checks
from common.submit.notebook import read_homework

WRITTEN = "Because the chain rule holds in every order: $p(x) = \\prod_i p(x_i \\mid x_{<i})$."


@pytest.fixture
def page(write):
    pytest.importorskip("latex2mathml")
    homework = read_homework(write(w1_why=WRITTEN + "\n\n$$\\frac{a}{b}$$\n\nand a slip: $\\frac{$"))
    return rendering.to_html(homework, "kim", run_checks(homework))


def test_the_report_needs_nothing_from_the_web(page):
    for reference in ("http://", "https://", "src=\"//", "@import"):
        for tag in ("src", "href", "url("):
            assert f'{tag}="{reference}' not in page
            assert f"{tag}={reference}" not in page
    assert "<script" not in page
    assert "figures/loss.png" not in page, "the figure is in the page itself"
    assert page.count('<img alt="a dot" src="data:image/png;base64,') == 1
    assert page.count('<img alt="loss" src="data:image/png;base64,') == 1


def test_the_report_says_who_what_and_how_the_checks_went(page):
    for part in ("HW1, handed in by kim", "Q1 Doubling", "passed", "I worked alone", "The loss falls", "42"):
        assert part in page
    assert "answer 41" not in page, "of a progress bar only the last state is shown"
    assert 'alt="a dot"' in page
    assert 'alt="loss"' in page
    assert '<html lang="en"' in page


def test_formulas_are_mathml_and_slips_stay_text(page):
    assert "<mfrac><mrow><mi>a</mi></mrow><mrow><mi>b</mi></mrow></mfrac>" in page
    assert "<mo>&#x0220F;</mo>" in page or "∏" in page
    assert "\\frac{" in page.split("and a slip:")[1][:60]


def test_without_a_browser_the_report_is_html(write, no_browser):
    path, reason = rendering.render(read_homework(write()), None, [], Path("report"))
    assert path == Path("report.html")
    assert path.read_text().startswith("<!DOCTYPE html>")
    assert "No Chrome" in reason


def test_a_notebook_that_cannot_be_rendered_is_handed_in_all_the_same(write, no_browser, capsys):
    path = write(w1_why=f"{WRITTEN} ![pasted](attachment:lost.png)")
    assert command.main([str(path), "--student", "kim"]) == command.DONE
    assert "missing attachment: lost.png" in " ".join(capsys.readouterr().out.split())
    with zipfile.ZipFile("hw1_kim.zip") as archive:
        assert archive.namelist() == ["artifacts/e1_model.safetensors", "figures/loss.png", "hw1.ipynb"]


def test_a_browser_that_fails_is_no_loss(write, monkeypatch):
    monkeypatch.setattr(rendering, "find_browser", lambda: "/bin/false")
    path, reason = rendering.render(read_homework(write()), None, [], Path("report"))
    assert path.suffix == ".html"
    assert "/bin/false could not print" in reason


@pytest.mark.skipif(rendering.find_browser() is None, reason="needs Chrome, Chromium or Edge")
def test_with_a_browser_the_report_is_pdf(write):
    path, reason = rendering.render(read_homework(write()), "kim", [], Path("report"))
    assert (path, reason) == (Path("report.pdf"), "")
    assert path.read_bytes().startswith(b"%PDF-")
    assert path.stat().st_size > 10_000
