# Keras 3.15.1; written by tests/_scripts/keras_layer_stubs.py.

import keras

from layerwise.keras._annotated.annotations import Annotated, Annotation

NAMES: tuple[str, ...]
__all__: list[str]

def annotated_class(plain: type) -> type[Annotated] | None: ...

class AdditiveAttention(Annotated, keras.layers.AdditiveAttention):
    def __init__(
        self,
        use_scale: bool = True,
        dropout: object = 0.0,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class Attention(Annotated, keras.layers.Attention):
    def __init__(
        self,
        use_scale: bool = False,
        score_mode: object = "dot",
        dropout: object = 0.0,
        seed: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class BatchNormalization(Annotated, keras.layers.BatchNormalization):
    def __init__(
        self,
        axis: object = -1,
        momentum: object = 0.99,
        epsilon: object = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        moving_mean_initializer: object = "zeros",
        moving_variance_initializer: object = "ones",
        beta_regularizer: object = None,
        gamma_regularizer: object = None,
        beta_constraint: object = None,
        gamma_constraint: object = None,
        renorm: bool = False,
        renorm_clipping: object = None,
        renorm_momentum: object = 0.99,
        synchronized: bool = False,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class Bidirectional(Annotated, keras.layers.Bidirectional):
    def __init__(
        self,
        layer: object,
        merge_mode: object = "concat",
        weights: object = None,
        backward_layer: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class Conv1D(Annotated, keras.layers.Conv1D):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = 1,
        padding: object = "valid",
        data_format: object = None,
        dilation_rate: object = 1,
        groups: object = 1,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class Conv1DTranspose(Annotated, keras.layers.Conv1DTranspose):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = 1,
        padding: object = "valid",
        output_padding: object = None,
        data_format: object = None,
        dilation_rate: object = 1,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class Conv2D(Annotated, keras.layers.Conv2D):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = ...,
        padding: object = "valid",
        data_format: object = None,
        dilation_rate: object = ...,
        groups: object = 1,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class Conv2DTranspose(Annotated, keras.layers.Conv2DTranspose):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = ...,
        padding: object = "valid",
        output_padding: object = None,
        data_format: object = None,
        dilation_rate: object = ...,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class Conv3D(Annotated, keras.layers.Conv3D):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = ...,
        padding: object = "valid",
        data_format: object = None,
        dilation_rate: object = ...,
        groups: object = 1,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class Conv3DTranspose(Annotated, keras.layers.Conv3DTranspose):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = ...,
        padding: object = "valid",
        data_format: object = None,
        output_padding: object = None,
        dilation_rate: object = ...,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class ConvLSTM1D(Annotated, keras.layers.ConvLSTM1D):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = 1,
        padding: object = "valid",
        data_format: object = None,
        dilation_rate: object = 1,
        activation: object = "tanh",
        recurrent_activation: object = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        dropout: object = 0.0,
        recurrent_dropout: object = 0.0,
        seed: object = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class ConvLSTM2D(Annotated, keras.layers.ConvLSTM2D):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = 1,
        padding: object = "valid",
        data_format: object = None,
        dilation_rate: object = 1,
        activation: object = "tanh",
        recurrent_activation: object = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        dropout: object = 0.0,
        recurrent_dropout: object = 0.0,
        seed: object = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class ConvLSTM3D(Annotated, keras.layers.ConvLSTM3D):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = 1,
        padding: object = "valid",
        data_format: object = None,
        dilation_rate: object = 1,
        activation: object = "tanh",
        recurrent_activation: object = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        dropout: object = 0.0,
        recurrent_dropout: object = 0.0,
        seed: object = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class Dense(Annotated, keras.layers.Dense):
    def __init__(
        self,
        units: object,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        lora_rank: object = None,
        lora_alpha: object = None,
        quantization_config: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class DepthwiseConv1D(Annotated, keras.layers.DepthwiseConv1D):
    def __init__(
        self,
        kernel_size: object,
        strides: object = 1,
        padding: object = "valid",
        depth_multiplier: object = 1,
        data_format: object = None,
        dilation_rate: object = 1,
        activation: object = None,
        use_bias: bool = True,
        depthwise_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        depthwise_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        depthwise_constraint: object = None,
        bias_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class DepthwiseConv2D(Annotated, keras.layers.DepthwiseConv2D):
    def __init__(
        self,
        kernel_size: object,
        strides: object = ...,
        padding: object = "valid",
        depth_multiplier: object = 1,
        data_format: object = None,
        dilation_rate: object = ...,
        activation: object = None,
        use_bias: bool = True,
        depthwise_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        depthwise_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        depthwise_constraint: object = None,
        bias_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class EinsumDense(Annotated, keras.layers.EinsumDense):
    def __init__(
        self,
        equation: object,
        output_shape: object,
        activation: object = None,
        bias_axes: object = None,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        lora_rank: object = None,
        lora_alpha: object = None,
        gptq_unpacked_column_size: object = None,
        quantization_config: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class Embedding(Annotated, keras.layers.Embedding):
    def __init__(
        self,
        input_dim: object,
        output_dim: object,
        embeddings_initializer: object = "uniform",
        embeddings_regularizer: object = None,
        embeddings_constraint: object = None,
        mask_zero: bool = False,
        weights: object = None,
        lora_rank: object = None,
        lora_alpha: object = None,
        quantization_config: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class FlaxLayer(Annotated, keras.layers.FlaxLayer):
    def __init__(
        self,
        module: object,
        method: object = None,
        variables: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class GRU(Annotated, keras.layers.GRU):
    def __init__(
        self,
        units: object,
        activation: object = "tanh",
        recurrent_activation: object = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        dropout: object = 0.0,
        recurrent_dropout: object = 0.0,
        seed: object = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: object = "auto",
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class GRUCell(Annotated, keras.layers.GRUCell):
    def __init__(
        self,
        units: object,
        activation: object = "tanh",
        recurrent_activation: object = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        dropout: object = 0.0,
        recurrent_dropout: object = 0.0,
        reset_after: bool = True,
        seed: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class GroupNormalization(Annotated, keras.layers.GroupNormalization):
    def __init__(
        self,
        groups: object = 32,
        axis: object = -1,
        epsilon: object = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        beta_regularizer: object = None,
        gamma_regularizer: object = None,
        beta_constraint: object = None,
        gamma_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class GroupQueryAttention(Annotated, keras.layers.GroupQueryAttention):
    def __init__(
        self,
        head_dim: object,
        num_query_heads: object,
        num_key_value_heads: object,
        dropout: object = 0.0,
        use_bias: bool = True,
        sliding_window: object = None,
        flash_attention: object = None,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        use_gate: bool = False,
        seed: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class JaxLayer(Annotated, keras.layers.JaxLayer):
    def __init__(
        self,
        call_fn: object,
        init_fn: object = None,
        params: object = None,
        state: object = None,
        seed: object = None,
        native_serialization_platforms: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class LSTM(Annotated, keras.layers.LSTM):
    def __init__(
        self,
        units: object,
        activation: object = "tanh",
        recurrent_activation: object = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        dropout: object = 0.0,
        recurrent_dropout: object = 0.0,
        seed: object = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        use_cudnn: object = "auto",
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class LSTMCell(Annotated, keras.layers.LSTMCell):
    def __init__(
        self,
        units: object,
        activation: object = "tanh",
        recurrent_activation: object = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        dropout: object = 0.0,
        recurrent_dropout: object = 0.0,
        seed: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class LayerNormalization(Annotated, keras.layers.LayerNormalization):
    def __init__(
        self,
        axis: object = -1,
        epsilon: object = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        beta_regularizer: object = None,
        gamma_regularizer: object = None,
        beta_constraint: object = None,
        gamma_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class MultiHeadAttention(Annotated, keras.layers.MultiHeadAttention):
    def __init__(
        self,
        num_heads: object,
        key_dim: object,
        value_dim: object = None,
        dropout: object = 0.0,
        use_bias: bool = True,
        output_shape: object = None,
        attention_axes: object = None,
        sliding_window: object = None,
        flash_attention: object = None,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        use_gate: bool = False,
        seed: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class PReLU(Annotated, keras.layers.PReLU):
    def __init__(
        self,
        alpha_initializer: object = "Zeros",
        alpha_regularizer: object = None,
        alpha_constraint: object = None,
        shared_axes: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class RMSNormalization(Annotated, keras.layers.RMSNormalization):
    def __init__(
        self,
        axis: object = -1,
        epsilon: object = 1e-06,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class RNN(Annotated, keras.layers.RNN):
    def __init__(
        self,
        cell: object,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class ReversibleEmbedding(Annotated, keras.layers.ReversibleEmbedding):
    def __init__(
        self,
        input_dim: object,
        output_dim: object,
        tie_weights: bool = True,
        embeddings_initializer: object = "uniform",
        embeddings_regularizer: object = None,
        embeddings_constraint: object = None,
        mask_zero: bool = False,
        reverse_dtype: object = None,
        logit_soft_cap: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class SeparableConv1D(Annotated, keras.layers.SeparableConv1D):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = 1,
        padding: object = "valid",
        data_format: object = None,
        dilation_rate: object = 1,
        depth_multiplier: object = 1,
        activation: object = None,
        use_bias: bool = True,
        depthwise_initializer: object = "glorot_uniform",
        pointwise_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        depthwise_regularizer: object = None,
        pointwise_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        depthwise_constraint: object = None,
        pointwise_constraint: object = None,
        bias_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class SeparableConv2D(Annotated, keras.layers.SeparableConv2D):
    def __init__(
        self,
        filters: object,
        kernel_size: object,
        strides: object = ...,
        padding: object = "valid",
        data_format: object = None,
        dilation_rate: object = ...,
        depth_multiplier: object = 1,
        activation: object = None,
        use_bias: bool = True,
        depthwise_initializer: object = "glorot_uniform",
        pointwise_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        depthwise_regularizer: object = None,
        pointwise_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        depthwise_constraint: object = None,
        pointwise_constraint: object = None,
        bias_constraint: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class SimpleRNN(Annotated, keras.layers.SimpleRNN):
    def __init__(
        self,
        units: object,
        activation: object = "tanh",
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        dropout: object = 0.0,
        recurrent_dropout: object = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class SimpleRNNCell(Annotated, keras.layers.SimpleRNNCell):
    def __init__(
        self,
        units: object,
        activation: object = "tanh",
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        dropout: object = 0.0,
        recurrent_dropout: object = 0.0,
        seed: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class STFTSpectrogram(Annotated, keras.layers.STFTSpectrogram):
    def __init__(
        self,
        mode: object = "log",
        frame_length: object = 256,
        frame_step: object = None,
        fft_length: object = None,
        window: object = "hann",
        periodic: bool = False,
        scaling: object = "density",
        padding: object = "valid",
        expand_dims: bool = False,
        data_format: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class SpectralNormalization(Annotated, keras.layers.SpectralNormalization):
    def __init__(
        self,
        layer: object,
        power_iterations: object = 1,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class StackedRNNCells(Annotated, keras.layers.StackedRNNCells):
    def __init__(
        self,
        cells: object,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class TimeDistributed(Annotated, keras.layers.TimeDistributed):
    def __init__(
        self,
        layer: object,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...

class TorchModuleWrapper(Annotated, keras.layers.TorchModuleWrapper):
    def __init__(
        self,
        module: object,
        name: object = None,
        output_shape: object = None,
        *,
        lr_multiplier: Annotation | None = None,
        **kwargs: object,
    ) -> None: ...
