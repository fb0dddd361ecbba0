"""Digits from two sources, in one frame, and balanced draws from them."""

import numpy as np
import pytest

from layerwise.demo import Digits, balanced, mnist_digits, uci_digits

SOURCES = {"mnist": (mnist_digits(), 5000), "uci": (uci_digits(), 1797)}


def numbered(count):
    """Digits whose first pixel tells them apart."""
    images = np.zeros((count, 16, 16, 1), np.float32)
    images[:, 0, 0, 0] = np.arange(count)
    return Digits(images, np.arange(count) % 10)


def numbers_of(digits):
    return set(digits.images[:, 0, 0, 0].astype(int).tolist())


def ink_height(digits):
    """From the first to the last row with ink, of each image."""
    rows = (digits.images[..., 0] > 0.5).any(axis=2)
    return 16 - rows.argmax(axis=1) - rows[:, ::-1].argmax(axis=1)


@pytest.mark.parametrize(("digits", "count"), SOURCES.values(), ids=SOURCES)
def test_images_are_grey_values_in_one_frame(digits, count):
    assert digits.images.shape == (count, 16, 16, 1)
    assert digits.images.dtype == np.float32
    assert digits.images.min() == 0
    assert 0.95 < digits.images.max() <= 1
    assert digits.labels.shape == (count,)
    assert np.bincount(digits.labels).min() >= count // 10 - 6


@pytest.mark.parametrize(("digits", "count"), SOURCES.values(), ids=SOURCES)
def test_digits_of_both_sources_are_equally_large_and_in_the_middle(digits, count):
    assert np.median(ink_height(digits)) == pytest.approx(0.8 * 16, abs=1)
    weight = digits.images.mean(axis=(0, 3))
    places = np.arange(16) - 7.5
    assert abs((weight.sum(axis=0) * places).sum() / weight.sum()) < 0.5
    assert abs((weight.sum(axis=1) * places).sum() / weight.sum()) < 0.5


def test_a_draw_has_equally_many_of_each_class():
    drawn, rest = balanced(uci_digits(), 10, np.random.default_rng(0))
    assert np.bincount(drawn.labels).tolist() == [10] * 10
    assert len(drawn) + len(rest) == 1797


def test_no_image_is_in_two_parts():
    everything = numbered(200)
    random = np.random.default_rng(0)
    pool, test = balanced(everything, 12, random)
    few, _ = balanced(pool, 10, random)
    kept, held_out = balanced(few, 7, random)
    assert numbers_of(kept) | numbers_of(held_out) == numbers_of(few)
    assert (len(numbers_of(kept)), len(numbers_of(held_out))) == (70, 30)
    assert numbers_of(few) & numbers_of(test) == set()
    assert numbers_of(pool) | numbers_of(test) == numbers_of(everything)


def test_an_image_keeps_its_label():
    drawn, rest = balanced(numbered(50), 2, np.random.default_rng(3))
    for digits in (drawn, rest):
        assert (digits.images[:, 0, 0, 0].astype(int) % 10 == digits.labels).all()


def test_equal_seeds_draw_the_same_and_others_do_not():
    first, again, other = (
        numbers_of(balanced(numbered(200), 5, np.random.default_rng(seed))[0]) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_too_few_of_a_class_is_an_error():
    with pytest.raises(ValueError, match="only 3 images of one class, and 4 to draw"):
        balanced(numbered(35), 4, np.random.default_rng(0))
