"""What is done with the probabilities of networks before a user gets them: class weights undone, then a temperature.

Networks are corrected one by one, as each may have had other weights, and averaged; the mean gets one temperature. The
master, which fits it, and whoever predicts apply these functions alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Shares = npt.NDArray[np.float64]


def unweighted(probabilities: Shares, weights: npt.NDArray[np.float64]) -> Shares:
    """Undo class weights in the probabilities of a network: p(c) = p_w(c) / w(c), over their sum; (rows, classes).

    Where weights w multiply the loss, the best network gives p_w(c) proportional to w(c) p(c), as if each class were
    w(c) times as frequent (Elkan 2001, "The foundations of cost-sensitive learning", theorem 2; for several classes
    Saerens, Latinne and Decaestecker 2002, equation 2.4).

    Args:
        probabilities: of a network that was trained with the weights, (rows, classes).
        weights: of each class in the loss, above 0, (classes,).
    """
    shares = probabilities * (weights.min() / weights)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


LEAST = float(np.finfo(np.float64).tiny)
"""What a probability is raised to where its logarithm is taken."""


def tempered(probabilities: Shares, temperature: float) -> Shares:
    """Divide the logarithms of probabilities by a temperature, and scale each row to add up to 1; (rows, classes).

    Above 1 they come nearer to equal, below 1 farther apart; the order of a row's classes stays (Guo, Pleiss, Sun and
    Weinberger 2017, "On calibration of modern neural networks", section 4.2: of a network's logits it is the same).
    With a temperature of 1 they are returned as they are. Rows with NaN become NaN.
    """
    if temperature == 1:
        return probabilities
    logs = np.log(np.maximum(probabilities, LEAST)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def is_second(probabilities: Shares, threshold: float) -> npt.NDArray[np.bool_]:
    """Tell which rows are predicted as the second of two classes: where its probability is above the threshold."""
    return np.asarray(probabilities[:, 1] > threshold)
