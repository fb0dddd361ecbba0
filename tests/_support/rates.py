"""Findings of rates for tests of what shows them: one of each kind, from a search on bowls."""

import numpy as np

from layerwise.finder import Band, Bands, QuadraticBands, RatesFinding, RatesProbe, search_rates

TILTS = (0.0, 0.3, 0.6, 1.0, 1.7, 3.0)


def bands(count):
    body = [(f"backbone/block_{n}/kernel", f"backbone/block_{n}/bias") for n in range(count - 1)]
    return Bands((*body, ("head/kernel", "head/bias")))


def searched(count=3, **options):
    """What a search on a bowl finds, where one rate is best."""
    trainer = QuadraticBands((1.0,) * count)
    return search_rates(trainer, range(200), bands(count), progress=False, **options)


def multipliers(tilt, count):
    powers = [tilt**below for below in range(count - 1, -1, -1)]
    return tuple(power / max(powers) for power in powers)


def found(tilt=1.0, count=5, **changes):
    """A finding made by hand, whose probes gain less the further they are from its answer."""
    made = bands(count)
    best = multipliers(tilt, count)
    as_good = np.array([best, *(multipliers(t, count) for t in TILTS if abs(t - tilt) < 0.35)])
    probes = tuple(
        RatesProbe(
            0.01 * 10 ** (0.5 * away),
            other,
            multipliers(other, count),
            number % 2,
            train_loss=0.4,
            score=0.5 + 0.1 * abs(away) + 0.05 * abs(TILTS.index(other) - TILTS.index(tilt)),
            slopes=(),
            updates=96,
        )
        for number, (other, away) in enumerate((t, n) for t in TILTS for n in (-1, 0, 1))
    )
    values = {
        "learning_rate": 0.01,
        "rules": made.rules(best),
        "reason": "Of 18 probes of 96 updates, it had the lowest held-out loss.",
        "bands": tuple(
            Band(name, names, m, low, high, *slope)
            for name, names, m, low, high, slope in zip(
                made.names,
                made.parameters,
                best,
                as_good.min(axis=0).tolist(),
                as_good.max(axis=0).tolist(),
                [(-0.02, 0.004), (0.061, 0.01), (0.01, 0.02), (0.01, None), (None, None)][-count:],
                strict=True,
            )
        ),
        "tilt": tilt,
        "single_rate": 0.0316,
        "gain": 0.12,
        "gain_error": 0.03,
        "probes": probes,
        "untrained": (2.3, 2.4),
        "training": "a training whose rate goes to 0",
        "updates": 1728,
    }
    return RatesFinding(**(values | changes))


NO_ANSWER = found(
    learning_rate=None,
    rules={},
    single_rate=None,
    reason="Nothing to gain: 18 probes of 96 updates, at rates from 0.0032 to 0.032, ended with no "
    "lower held-out loss than without training. The network may be trained already, or need more "
    "updates before it learns: give a larger budget.",
)

FINDINGS = {
    "one rate": found(),
    "later faster": found(0.3),
    "head alone": found(0.0),
    "early faster": found(3.0),
    "two bands": found(0.3, count=2),
    "one band": found(1.0, count=1),
    "stopped": found(1.7, ended="stopped by the user"),
    "no answer": NO_ANSWER,
}
