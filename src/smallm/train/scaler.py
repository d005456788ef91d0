"""The loss's scale for float16: large enough that small gradients do not vanish, small enough that none overflows.

torch.amp.GradScaler's rule (halve on an overflow and leave out that step, double after 2,000 good ones; a test
holds the two equal), with a state of three numbers for the checkpoint, and its division folded into the clipping.
"""

from __future__ import annotations

from dataclasses import dataclass

START = 2.0**16
GROWTH_STEPS = 2000
# Below this a gradient overflows for another reason than its scale.
SMALLEST = 2.0**-10


@dataclass
class LossScale:
    """`value` multiplies the loss; `good` steps since it changed; `skipped` steps in all."""

    value: float = 1.0
    good: int = 0
    skipped: int = 0

    def update(self, finite: bool) -> bool:
        """After a step's gradient is known: whether the step may be taken."""
        if not finite:
            self.value, self.good, self.skipped = self.value / 2, 0, self.skipped + 1
            return False
        self.good += 1
        if self.good == GROWTH_STEPS:
            self.value, self.good = self.value * 2, 0
        return True

    @property
    def hopeless(self) -> bool:
        return self.value < SMALLEST
