"""Linear probes on cached features: logistic regression, or the papers' linear layer trained with AdamW."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synvlp.tasks.results import Ledger


@dataclass(frozen=True)
class Data:
    """Features and targets of a data set's parts.

    Attributes:
        train, val, test: (features float32 (n, d), targets int 0 or 1 (n, labels)).
        exclusive: whether every sample carries exactly one label.
    """

    train: tuple[np.ndarray, np.ndarray]
    val: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    exclusive: bool


@dataclass(frozen=True)
class Scores:
    """Probabilities (n, labels) on validation and test, and what was chosen on validation."""

    val: np.ndarray
    test: np.ndarray
    chosen: dict[str, float]


def logistic(data: Data, labels: Sequence[str], grid: Sequence[float], select: str) -> Scores:
    """Logistic regression on standardised features, its C chosen on the validation split.

    One regression per label, or one softmax regression for exclusive labels. Mean and deviation for the
    standardisation come from the training features alone. Deterministic: it has no seed.

    Args:
        grid: values of C (inverse strength of the L2 penalty) to try.
        select: "auroc" or "log_loss", by which C is chosen; log_loss where AUROC is not defined.
    """
    mean, deviation = data.train[0].mean(0, dtype=np.float64), data.train[0].std(0, dtype=np.float64)
    scale = np.where(deviation > 0, deviation, 1)
    features = [((part[0] - mean) / scale) for part in (data.train, data.val, data.test)]
    if data.exclusive:
        targets = [part[1].argmax(1) for part in (data.train, data.val)]
        best_c, val, test = _best_regression(features, targets, len(labels), grid, select)
        return Scores(val, test, dict.fromkeys(labels, best_c))
    columns = []
    for column in range(len(labels)):
        targets = [part[1][:, column] for part in (data.train, data.val)]
        best_c, val, test = _best_regression(features, targets, 2, grid, select)
        columns.append((best_c, val[:, 1], test[:, 1]))
    chosen, val, test = zip(*columns, strict=True)
    return Scores(np.stack(val, 1), np.stack(test, 1), dict(zip(labels, chosen, strict=True)))


def _best_regression(
    features: Sequence[np.ndarray], targets: Sequence[np.ndarray], classes: int, grid: Sequence[float], select: str
) -> tuple[float, np.ndarray, np.ndarray]:
    """C and the probabilities (n, classes) on validation and test of the regression that is best on validation."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    best: tuple | None = None
    model = LogisticRegression(max_iter=300, warm_start=True)
    for c in sorted(grid):
        with warnings.catch_warnings():
            # A fit at the largest C may stop short of its optimum; validation decides whether it is of use.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=c).fit(features[0], targets[0])
        val = model.predict_proba(features[1])
        value = agreement(targets[1], val, classes, select)
        if best is None or value > best[0]:
            best = (value, c, val, model.predict_proba(features[2]))
    return best[1:]


def agreement(targets: np.ndarray, scores: np.ndarray, classes: int, select: str) -> float:
    """How well probabilities (n, classes) fit class numbers (n,): AUROC (mean over classes) or minus log loss."""
    from sklearn.metrics import log_loss, roc_auc_score

    present = np.unique(targets)
    if select == "auroc" and len(present) == classes:
        one_hot = np.eye(classes)[targets]
        start = 1 if classes == 2 else 0
        return float(roc_auc_score(one_hot[:, start:], scores[:, start:], average="macro"))
    return -float(log_loss(targets, scores, labels=range(classes)))


def adamw(
    data: Data,
    run: tuple[float, int],
    ledger: Ledger,
    *,
    rate: float,
    weight_decay: float,
    epochs: int,
    batch: int,
    patience: int,
    device: object,
) -> Scores:
    """One linear layer on the features as they are, trained with AdamW: the papers' protocol.

    The loss is binary cross entropy, or cross entropy for exclusive labels; the weights with the lowest
    validation loss are kept, and training stops after `patience` epochs without a lower one.
    """
    import torch

    from synvlp.store.seeds import seed_of
    from synvlp.tasks import fitting

    parts = {
        name: [torch.tensor(array, dtype=torch.float32, device=device) for array in getattr(data, name)]
        for name in ("train", "val", "test")
    }
    torch.manual_seed(seed_of(run[1], "init"))
    layer = torch.nn.Linear(data.train[0].shape[1], data.train[1].shape[1]).to(device)

    def loss_of(features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if data.exclusive:
            return torch.nn.functional.cross_entropy(layer(features), targets)
        return torch.nn.functional.binary_cross_entropy_with_logits(layer(features), targets)

    def batch_loss(rows: torch.Tensor) -> torch.Tensor:
        return loss_of(*(array[rows.to(device)] for array in parts["train"]))

    count = len(data.train[0])
    steps = epochs * -(-count // batch)
    plan = fitting.Plan(steps, batch, rate, weight_decay, validations=epochs, patience=patience)
    found = fitting.train(layer, batch_loss, lambda: -loss_of(*parts["val"]).item(), count, plan, run, ledger)

    def probabilities(name: str) -> np.ndarray:
        with torch.no_grad():
            logits = layer(parts[name][0])
        return (logits.softmax(1) if data.exclusive else logits.sigmoid()).double().cpu().numpy()

    return Scores(probabilities("val"), probabilities("test"), {"step": found["best_step"]})
