"""Colours that everybody can tell apart, on light and dark ground."""

import pytest
from matplotlib.colors import to_rgb

from layerwise.plots._style import GREY, PALETTE, inks, luminance, ramp
from tests._support.pictures import GROUNDS, axes, contrast


@pytest.mark.parametrize("ground", GROUNDS)
def test_the_palette_stands_out_on_light_and_dark(ground):
    for color in (*PALETTE, GREY, *ramp(24)):
        assert contrast(color, ground) >= 3, color


@pytest.mark.parametrize("ground", [*GROUNDS, "none"])
def test_text_can_be_read_on_its_ground(ground):
    grounds = GROUNDS if ground == "none" else [ground]
    for color in inks(axes(ground)):
        assert all(contrast(color, behind) >= (4.2 if ground == "none" else 4.5)
                   for behind in grounds)  # fmt: skip


def test_luminance_is_that_of_wcag():
    assert luminance("white") == pytest.approx(1)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def test_a_ramp_goes_from_cold_to_hot():
    assert ramp(3)[0].upper() == PALETTE[0]
    assert ramp(3)[-1].upper() == PALETTE[1]
    assert len(set(ramp(24))) == 24
    assert len(ramp(1)) == 1
    assert ramp(0) == []


def test_the_ground_is_the_figure_s():
    assert inks(axes("#ffffff")) != inks(axes("#111111"))
    assert set(inks(axes("none"))) == {GREY}
    assert to_rgb(GREY)[0] == pytest.approx(0.48, abs=0.01)
