"""What a type checker makes of a call: `make check` reads this file, and here it runs."""

from typing import Any, assert_type

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import torch

from layerwise.schedules import Schedule, cosine, warmup


def test_a_number_gives_a_float() -> None:
    assert_type(cosine(10)(3), float)
    assert_type((warmup(3) >> cosine(10))(3.5), float)
    assert_type(cosine(10)(np.int64(3)), np.float64)
    assert_type(cosine(10)(np.float32(3)), np.float32)


def test_an_array_gives_its_own_kind() -> None:
    whole: npt.NDArray[np.int64] = np.arange(3)
    single: npt.NDArray[np.float32] = np.zeros(3, np.float32)
    assert_type(cosine(10)(whole), npt.NDArray[np.float64])
    assert_type(cosine(10)(single), npt.NDArray[np.float32])
    assert_type(cosine(10)(torch.arange(3)), torch.Tensor)
    assert_type(cosine(10)(jnp.arange(3)), jax.Array)


def test_a_config_gives_the_class_that_reads_it() -> None:
    config: dict[str, Any] = cosine(10).to_config()
    assert_type(Schedule.from_config(config), Schedule)
    assert_type(cosine.from_config(config), cosine)
