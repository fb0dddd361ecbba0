"""Keras' layers that have weights, each with one more argument: ``lr_multiplier``.

``lr_multiplier`` is a number, a schedule or a registered callable of the step for all of the
layer's weights, or a dict of these by weight name. It is part of the layer's config, so it is
saved with the model. In everything else they are Keras' classes.

Examples:
    >>> from layerwise.keras import layers
    >>> layer = layers.Conv2D(16, 3, lr_multiplier={"kernel": 1e-4, "bias": 2e-4})
    >>> layer.get_config()["filters"], layer.lr_multiplier
    (16, {'kernel': 0.0001, 'bias': 0.0002})
"""

from typing import NoReturn

import keras

from layerwise.keras._annotated.annotations import Annotated

NAMES = (
    "AdditiveAttention",
    "Attention",
    "BatchNormalization",
    "Bidirectional",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "EinsumDense",
    "Embedding",
    "FlaxLayer",
    "GRU",
    "GRUCell",
    "GroupNormalization",
    "GroupQueryAttention",
    "JaxLayer",
    "LSTM",
    "LSTMCell",
    "LayerNormalization",
    "MultiHeadAttention",
    "PReLU",
    "RMSNormalization",
    "RNN",
    "ReversibleEmbedding",
    "SeparableConv1D",
    "SeparableConv2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "STFTSpectrogram",
    "SpectralNormalization",
    "StackedRNNCells",
    "TimeDistributed",
    "TorchModuleWrapper",
)

__all__ = list(NAMES)


def _annotated(name: str, plain: type) -> type[Annotated]:
    doc = f"``keras.layers.{name}`` with ``lr_multiplier``; see ``{__name__}``."
    body = {"__module__": __name__, "__doc__": doc, "plain_class": plain}
    made = type(name, (Annotated, plain), body)
    keras.saving.register_keras_serializable(package="layerwise")(made)
    return made


# An older Keras may lack some of them. The file layers.pyi tells editors what is made here.
_BY_PLAIN: dict[type, type[Annotated]] = {
    plain: _annotated(name, plain) for name in NAMES if (plain := getattr(keras.layers, name, None))
}
globals().update({made.__name__: made for made in _BY_PLAIN.values()})


def annotated_class(plain: type) -> type[Annotated] | None:
    """The class of this module that stands for a class of Keras, or None."""
    return _BY_PLAIN.get(plain)


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"layerwise.keras.layers has no {name}: it has the layers of keras.layers with weights to "
        "train. For any other layer there is layerwise.keras.annotate."
    )
