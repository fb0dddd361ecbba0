"""Which way a metric gets better, read from the words of its name."""

import re

import numpy as np

from layerwise._series import Floats

_LESS = (
    "loss error err mae mse rmse msle mape smape wape mase crps perplexity ppl divergence kl kld "
    "nll entropy crossentropy hinge logcosh cosh poisson wer cer ter eer der fid kid lpips fvd "
    "brier ece mce bpc bpb bpd distance hausdorff chamfer epe regret deviance mpjpe fpr fnr"
)
_MORE = (
    "accuracy acc f1 fbeta fscore precision recall auc auroc auprc roc prc ap map miou iou io giou "
    "dice jaccard bleu sacrebleu rouge rougel rougelsum meteor chrf bertscore r2 psnr ssim mcc "
    "matthews kappa pearson spearman pearsonr spearmanr kendall correlation similarity ndcg mrr "
    "hits specificity sensitivity tpr tnr top1 top5 em match reward score likelihood"
)


def less_is_better(name: str) -> bool | None:
    """Whether a metric of this name is better if it is lower; None if its name doesn't say.

    Examples:
        >>> less_is_better("val_wer"), less_is_better("accuracy"), less_is_better("power")
        (True, False, None)
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    found = re.findall(r"[^\W_]+", f"{apart} {name}".lower())  # "IoU" is one word, too
    words = {*found, *(word.rstrip("0123456789") for word in found)}
    less = bool(words & set(_LESS.split())) or any(w.endswith(("loss", "error")) for w in words)
    if not less and not words & set(_MORE.split()):
        return None
    # A negative log likelihood is a loss, and scikit-learn's neg_mean_squared_error a score.
    negated = bool({"neg", "negative"} & words) and not {"true", "false"} & words
    return less is not negated


def best_place(name: str, values: Floats) -> int:
    """The place of the best value; of the highest one if it isn't known which is best."""
    return int(np.argmin(values) if less_is_better(name) else np.argmax(values))


def best_word(name: str) -> str:
    """What that value is called."""
    return "highest" if less_is_better(name) is None else "best"
