"""Learning rate and averaging as functions of progress, so that a run can be measured in steps or in minutes."""

import math

import torch
from torch import nn


def learning_rate(
    peak: float, step: int, progress: float, *, warmup_steps: int = 200, final_ratio: float = 0.01
) -> float:
    """Return the learning rate: linear warm-up, then half a cosine down to `final_ratio` of the peak.

    Args:
        peak: Highest learning rate.
        step: Steps done.
        progress: Share of the run that is done, 0 to 1.
        warmup_steps: Length of the warm-up; 0 for none.
        final_ratio: Learning rate at the end over the peak.
    """
    cosine = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return peak * min(1.0, (step + 1) / max(warmup_steps, 1)) * (cosine * (1 - final_ratio) + final_ratio)


def one_cycle(peak: float, progress: float, *, initial: float, rising_share: float = 0.3) -> float:
    """Return the learning rate of a one-cycle schedule (Smith and Topin 2017): half a cosine up, half a cosine to 0.

    The momentum is left alone.

    Args:
        peak: Highest learning rate.
        progress: Share of the run that is done, 0 to 1.
        initial: Learning rate at the beginning.
        rising_share: Share of the run at which the peak is reached; 0 to begin there.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < rising_share:
        return peak + (initial - peak) * 0.5 * (1 + math.cos(math.pi * progress / rising_share))
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - rising_share) / (1 - rising_share)))


class WeightAverage:
    """Exponential moving average of a module's weights; the averaged weights are what is shipped.

    Args:
        module: The module in training.
        decay: Decay per update once the run is old; young runs average over a tenth of their age.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the module's present weights."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10))
        for name, value in module.state_dict().items():
            average = self.weights[name]
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)

    def state(self) -> dict[str, object]:
        """Return what a checkpoint must hold."""
        return {"updates": self.updates, "weights": self.weights}

    def load(self, state: dict) -> None:
        """Restore what `state` returned."""
        self.updates = state["updates"]
        self.weights = state["weights"]
