"""How the data of a fold is prepared for a network: what decides the matrices that it reads."""

from __future__ import annotations

from dataclasses import dataclass

from foldstep.models.catalog.losses import Link


@dataclass(frozen=True, order=True)
class Preparation:
    """The preparation of one fold's data; members with equal ones read the same matrices.

    Attributes:
        scaler: scaling of numeric columns.
        link: meaning of the network's output, see `Link`.
        quantile_noise: noise on the training values that quantiles are computed of, in standard deviations.
        max_one_hot: columns with more categories become one column of codes; 0 for none, all are one-hot.
        category_min_count: training rows that a category needs to be told from the rare ones; 0 for the rule of
            `kept_categories`.
        target_transform: of a regression's target, before it is standardised.
        clamps: whether a regression's predictions stay within the target's training range.
    """

    scaler: str = "standard"
    link: Link = "identity"
    quantile_noise: float = 0.0
    max_one_hot: int = 0
    category_min_count: int = 0
    target_transform: str = "none"
    clamps: bool = False
