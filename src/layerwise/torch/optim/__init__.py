"""PyTorch's optimizers, at the cost of one group for any number of them."""

from layerwise.torch.optim._adagrad import Adagrad
from layerwise.torch.optim._adam import Adam, AdamW
from layerwise.torch.optim._nadam import NAdam
from layerwise.torch.optim._radam import RAdam
from layerwise.torch.optim._rmsprop import RMSprop
from layerwise.torch.optim._sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop"]
