"""A classifier of findings on cached features, and how well its scores order images, with intervals."""

import warnings
from collections.abc import Sequence

import numpy as np

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # values of C that cross-validation chooses from
FOLDS = 3


class Finding:
    """Logistic regression on standardised features for one finding.

    Its C is the one with the highest mean AUROC over folds of patients; where a fold lacks one of the classes, 0.01.
    Deterministic: it has no seed.
    """

    def __init__(self, features: np.ndarray, targets: np.ndarray, patients: np.ndarray) -> None:
        """Fit to features (n, d), targets 0 or 1 (n,) and the patient of each image."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
        with _quiet():
            self.c = self._chosen(features, targets, patients)
            self.model.set_params(logisticregression__C=self.c).fit(features, targets)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """The finding's log odds, (n,)."""
        return self.model.decision_function(features)

    def _chosen(self, features: np.ndarray, targets: np.ndarray, patients: np.ndarray) -> float:
        from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

        folds = list(StratifiedGroupKFold(FOLDS).split(features, targets, patients))
        if any(len(np.unique(targets[rows])) < 2 for fold in folds for rows in fold):
            return 0.01
        search = GridSearchCV(
            self.model, {"logisticregression__C": list(GRID)}, scoring="roc_auc", cv=folds, refit=False
        )
        return search.fit(features, targets).best_params_["logisticregression__C"]


def auroc(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve for each row of weights: (resamples,), NaN where a row holds one class only."""
    from sklearn.metrics import roc_auc_score

    found = np.full(len(weights), np.nan)
    for number, row in enumerate(weights):
        drawn = row > 0
        if len(np.unique(targets[drawn])) == 2:
            found[number] = roc_auc_score(targets[drawn], scores[drawn], sample_weight=row[drawn])
    return found


def targets_of(labels: Sequence[Sequence[str]], label: str) -> np.ndarray:
    """1 where the label is among an image's labels: int (n,)."""
    return np.array([label in own for own in labels], dtype=int)


def _quiet() -> warnings.catch_warnings:
    """A fit at the largest C may stop short of its optimum; cross-validation decides whether it is of use."""
    from sklearn.exceptions import ConvergenceWarning

    return warnings.catch_warnings(action="ignore", category=ConvergenceWarning)
