"""Settings that segmentation and detection share."""

from typing import Literal

from synvlp import job
from synvlp.tasks import fractions


class Dense(job.Compute, fractions.Fractions):
    """How a head is trained on an encoder's feature maps."""

    encoder: Literal["frozen", "tuned"] = job.setting(
        "frozen", "frozen: weights and BatchNorm statistics of the encoder stay; tuned: it is trained as well"
    )
    augment: bool = job.setting(
        False, "move, scale and brighten training images at random; feature maps are then computed at every step"
    )
    steps: int = job.setting(500, "training steps at every fraction", unit="steps", ge=1)
    epochs: int = job.setting(
        0, "instead of steps: passes over the fraction's samples (the papers: 50)", unit="epochs", ge=0
    )
    batch: int = job.setting(16, "images a step", unit="images", ge=1)
    rate: float = job.setting(5e-4, "learning rate of AdamW", gt=0)
    cosine: bool = job.setting(False, "let the rate fall along half a cosine; the papers keep it constant")
    validations: int = job.setting(10, "looks at the validation split, evenly spread; the best weights stay", ge=1)
    patience: int = job.setting(
        0, "stop after so many validations without a better one (the papers: 10)", unit="validations", ge=0
    )
    cache_gb: float = job.setting(
        2.0, "frozen and not augmented: keep all feature maps in memory if they fit in this", unit="GB", ge=0
    )
    shown: int = job.setting(8, "test images in the picture of examples", unit="images", ge=1, le=64)

    def steps_for(self, count: int) -> int:
        """Training steps for a fraction of `count` samples."""
        return self.epochs * -(-count // self.batch) if self.epochs else self.steps
