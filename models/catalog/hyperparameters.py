"""The table of the hyperparameters: names, types, domains, defaults and meanings, in the order of the documentation.

They are defined only here. A spec is validated against the table `REGISTRY`, the planner draws values from its
domains, and the engine trains the configuration that `models.hyperparameters.resolve` returns. The module imports
neither torch nor numpy, so that the master can import it.

A new hyperparameter is one row in `REGISTRY` and one field in `models.hyperparameters.Hyperparameters`.
"""

from __future__ import annotations

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.kinds import MAX_DEPTH, MAX_WIDTH, Hyperparameter, Kind
from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.schedules import COURSES, SCHEDULES
from foldstep.models.catalog.units import UNITS

ALL_ROWS = 2**31 - 1
"""The batch size that stands for the whole training part."""
MAX_ALPHA = 1e6
"""Greatest alpha of mixup. Beta(alpha, alpha) is within 0.002 of 1/2 there."""
LEAST_EPS = 1e-30
"""Least value of `eps`. Much smaller values are rounded to 0 in float32 and no longer prevent a division by zero."""

INITS = (
    "uniform", "lecun_uniform", "lecun_normal", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal",
    "orthogonal", "data_normal",
)  # fmt: skip
PARAMETRIZATIONS = ("standard", "ntk")
TRAINED_ACTIVATIONS = ("none", "unit")
SKIPS = ("none", "residual")
BIAS_MODES = ("constant", "normal", "uniform", "data")
OUTPUT_INITS = ("same", "zero")
BATCH_SCALINGS = ("none", "linear", "sqrt")
ON_DIVERGENCE = ("stop", "restart")
PRECISIONS = ("float32", "tf32", "bfloat16")
NUMBER_EMBEDDINGS = ("none", "periodic", "plr", "pbld", "piecewise")
TARGET_TRANSFORMS = ("none", "log", "quantile", "yeo_johnson")
SCALERS = ("none", "center", "standard", "minmax", "robust", "robust_clip", "quantile", "whiten")
DECAY_TARGETS = ("zero", "init")
SMOOTHING_TARGETS = ("uniform", "frequencies")

_F, _I, _C = Kind.FLOAT, Kind.INT, Kind.CHOICE

_ROWS = (
    Hyperparameter("hidden", Kind.WIDTHS, None, "widths of the hidden layers; replaces depth and width"),
    Hyperparameter("depth", _I, 2, "number of hidden layers", low=0, high=MAX_DEPTH),
    Hyperparameter("width", _I, 64, "units of each hidden layer", low=1, high=MAX_WIDTH, per_layer=True),
    Hyperparameter(
        "activation", _C, "relu", "nonlinearity of the hidden layers", choices=tuple(ACTIVATIONS), per_layer=True
    ),
    Hyperparameter(
        "units", _C, "plain",
        "glu: hidden units are their activation times a second linear map of their inputs, with sigmoid GLU, with silu "
        "SwiGLU, with gelu GEGLU; maxout: the greater of two linear maps, without an activation",
        choices=tuple(UNITS),
    ),
    Hyperparameter(
        "dropout", _F, 0.0, "share of hidden units dropped in a step", low=0, high=1, high_open=True,
        per_layer=True,
    ),
    Hyperparameter(
        "norm", _C, "none", "normalisation of the hidden layers, before the activation", choices=tuple(NORMS)
    ),
    Hyperparameter(
        "norm_momentum", _F, 0.1, "weight of a batch in the running statistics of batch normalisation", low=0,
        low_open=True, high=1,
    ),
    Hyperparameter(
        "activation_trained", _C, "none",
        "unit: each hidden unit trains its share s of the activation f, x + s (f(x) - x), which begins at 1",
        choices=TRAINED_ACTIVATIONS,
    ),
    Hyperparameter("activation_lr_factor", _F, 1.0, "factor on the rate of the shares of activation_trained", low=0),
    Hyperparameter(
        "skip", _C, "none", "residual: a hidden layer as wide as the one below adds its input to its output",
        choices=SKIPS,
    ),
    Hyperparameter("input_dropout", _F, 0.0, "share of inputs dropped in a step", low=0, high=1, high_open=True),
    Hyperparameter(
        "parametrization", _C, "standard",
        "ntk: weights are trained times the root of their layer's inputs, and the layer divides by it",
        choices=PARAMETRIZATIONS,
    ),
    Hyperparameter("dropout_schedule", _C, "constant", "course of dropout and input_dropout", choices=COURSES),
    Hyperparameter(
        "input_mask", _F, 0.0, "share of a row's inputs replaced by those of another row of the batch", low=0, high=1,
        high_open=True,
    ),
    Hyperparameter(
        "mixup", _F, 0.0, "alpha of mixup of rows, by a share from Beta(alpha, alpha); not for hinge, focal, ordinal",
        low=0, high=MAX_ALPHA,
    ),
    Hyperparameter(
        "init", _C, "he_uniform",
        "distribution of the initial weights; data_normal gives each unit's products over the training rows a "
        "deviation of 1", choices=INITS,
    ),
    Hyperparameter("init_gain", _F, 1.0, "factor on the initial weights", low=0, low_open=True),
    Hyperparameter("bias_init", _F, 0.0, "initial value of the biases, to which bias_init_mode adds"),
    Hyperparameter(
        "bias_init_mode", _C, "constant",
        "what is added to bias_init: nothing; a draw of deviation 1; one up to 1 / sqrt(inputs); data: minus a random "
        "mean of the unit's products for five training rows", choices=BIAS_MODES,
    ),
    Hyperparameter(
        "output_init", _C, "same", "zero: weights and biases of the output layer start at 0", choices=OUTPUT_INITS
    ),
    Hyperparameter("optimizer", _C, "adam", "update rule", choices=tuple(OPTIMIZERS)),
    Hyperparameter("lr", _F, None, "learning rate; 0.001, for lbfgs 1 when left out", low=0, low_open=True),
    Hyperparameter(
        "muon_lr", _F, 0.02, "learning rate of muon for the weights of hidden layers; lr is that of all else", low=0,
        low_open=True,
    ),
    Hyperparameter("first_layer_lr_factor", _F, 1.0, "factor on lr in the first layer; not for lbfgs", low=0),
    Hyperparameter("output_lr_factor", _F, 1.0, "factor on lr in the output layer; not for lbfgs", low=0),
    Hyperparameter("bias_lr_factor", _F, 1.0, "factor on lr of the biases; not for lbfgs", low=0),
    Hyperparameter(
        "momentum", _F, None,
        "momentum of the sgd family and of muon; 0 for sgd, 0.9 for momentum and nesterov, 0.95 for muon",
        low=0, high=1, high_open=True,
    ),
    Hyperparameter("beta1", _F, 0.9, "decay of Adam's first moment", low=0, high=1, high_open=True),
    Hyperparameter("beta2", _F, 0.999, "decay of Adam's second moment", low=0, high=1, high_open=True),
    Hyperparameter("rho", _F, 0.99, "decay of rmsprop's squared gradients", low=0, high=1, high_open=True),
    Hyperparameter("eps", _F, 1e-8, "guard against division by zero of the adaptive optimizers", low=LEAST_EPS),
    Hyperparameter("weight_decay", _F, 0.0, "L2 penalty; decoupled for adamw and muon", low=0),
    Hyperparameter("bias_decay_factor", _F, 1.0, "factor on weight_decay of the biases", low=0),
    Hyperparameter("decay_schedule", _C, "constant", "course of weight_decay; not for lbfgs", choices=COURSES),
    Hyperparameter("decay_towards", _C, "zero", "what weight_decay draws weights to, zero or their start; not lbfgs",
                   choices=DECAY_TARGETS),
    Hyperparameter("l1", _F, 0.0, "L1 penalty", low=0),
    Hyperparameter("clip_norm", _F, 0.0, "greatest norm of a member's gradient; 0 for no limit", low=0),
    Hyperparameter(
        "gradient_noise", _F, 0.0,
        "variance of the noise on the gradients, which fades; not for lbfgs",
        low=0,
    ),
    Hyperparameter(
        "ema_decay", _F, 0.0, "decay of the running average of the weights, which is then what is scored; 0 for none",
        low=0, high=1, high_open=True,
    ),
    Hyperparameter(
        "swa_start", _F, 0.0,
        "share of the epochs after which the mean of the weights at the ends of epochs is scored; 0 for none",
        low=0, high=1, high_open=True,
    ),
    Hyperparameter("schedule", _C, "constant", "course of the learning rate", choices=tuple(SCHEDULES)),
    Hyperparameter("warmup_epochs", _I, 0, "epochs of linear rise before the schedule begins", low=0),
    Hyperparameter(
        "decay", _F, 0.5, "factor of step, exponential and plateau", low=0, low_open=True, high=1,
    ),
    Hyperparameter(
        "decay_epochs", _I, 10, "epochs to one factor; time scale of the inverse ones; patience of plateau", low=1
    ),
    Hyperparameter("cycle_epochs", _I, 10, "epochs of the first cosine cycle, or of half a triangle", low=1),
    Hyperparameter("cycle_growth", _I, 1, "factor by which every cosine cycle is longer than the last", low=1),
    Hyperparameter("lr_floor", _F, 0.0, "least rate of the schedules that fall or swing, as a share of lr",
                   low=0, high=1),
    Hyperparameter("cooldown", _F, 0.3, "share of the epochs in which trapezoidal falls; in which one_cycle rises",
                   low=0, low_open=True, high=1, high_open=True),
    Hyperparameter("scale_lr_with_batch", _C, "none", "lr times batch_size / 128, or its square root",
                   choices=BATCH_SCALINGS),
    Hyperparameter("batch_size", _I, None, "rows in a step; 128, for lbfgs all of them when left out",
                   low=1, high=ALL_ROWS),
    Hyperparameter("epochs", _I, 30, "passes over the training part", low=1, high=1_000_000),
    Hyperparameter(
        "patience", _I, 0, "epochs without a better average of validation scores before stopping; 0 never stops", low=0
    ),
    Hyperparameter(
        "loss", _C, None,
        "what training minimises; left out: cross_entropy for classes, label_cross_entropy for labels, mse for numbers",
        choices=tuple(LOSSES),
    ),
    Hyperparameter(
        "huber_delta", _F, 1.0, "error at which huber goes from squared to absolute, in standard deviations",
        low=0, low_open=True,
    ),
    Hyperparameter(
        "focal_gamma", _F, 2.0, "how much less focal counts rows that are predicted well; 0 is cross_entropy",
        low=0, high=20,
    ),
    Hyperparameter(
        "tweedie_power", _F, 1.5, "power of the mean that tweedie takes a row's variance to grow with",
        low=1, low_open=True, high=2, high_open=True,
    ),
    Hyperparameter("class_weight", Kind.CLASS_WEIGHT, "none", "weight of each class in the loss"),
    Hyperparameter(
        "on_divergence", _C, "stop",
        "what a loss that is not finite leads to: the end, or a new try from the best epoch so far at a tenth of "
        "the rate, at most twice", choices=ON_DIVERGENCE,
    ),
    Hyperparameter("label_smoothing", _F, 0.0, "share of a class's weight that cross_entropy spreads over all classes",
                   low=0, high=1, high_open=True),
    Hyperparameter(
        "label_smoothing_to", _C, "uniform",
        "how label_smoothing is spread: equally, or by the frequencies of the classes in the training part",
        choices=SMOOTHING_TARGETS,
    ),
    Hyperparameter(
        "precision", _C, "float32",
        "what the factors of matrix products may be rounded to in training, where a device is faster for it: a GPU "
        "rounds to tf32 for both of the lower ones, a CPU with AMX to bfloat16", choices=PRECISIONS,
    ),
    Hyperparameter("scaler", _C, "standard", "scaling of numeric columns", choices=SCALERS),
    Hyperparameter(
        "quantile_noise", _F, 0.0,
        "noise on the values that scaler: quantile computes its quantiles of, in standard deviations", low=0,
    ),
    Hyperparameter(
        "category_min_count", _I, 0,
        "training rows that a category needs not to be rare; 0 for 10, or a hundredth of the rows where that is less",
        low=0, high=ALL_ROWS,
    ),
    Hyperparameter(
        "number_embedding", _C, "none",
        "what the first layer reads of each numeric column: its number, or a trained embedding of it",
        choices=NUMBER_EMBEDDINGS,
    ),
    Hyperparameter("embedding_size", _I, 4, "values of each embedded numeric column", low=2, high=256),
    Hyperparameter("embedding_frequencies", _I, 16, "frequencies of each column in periodic, plr and pbld",
                   low=1, high=512),
    Hyperparameter("embedding_sigma", _F, 0.1, "standard deviation of the initial frequencies", low=0, low_open=True),
    Hyperparameter("embedding_bins", _I, 48, "bins of each column in piecewise, by quantiles of the training part",
                   low=2, high=1024),
    Hyperparameter("embedding_shared", _C, "none", "numeric columns that share one linear map of their features",
                   choices=("none", "all")),
    Hyperparameter("embedding_min_values", _I, 8,
                   "different values in the training part that a numeric column needs to be embedded", low=2),
    Hyperparameter("max_one_hot", _I, 0,
                   "categories up to which a column is one-hot; with more it gets trained embeddings; 0 for any number",
                   low=0, high=ALL_ROWS),
    Hyperparameter("category_embedding_size", _I, 0,
                   "values of each embedded category; 0 for 1.6 times the power 0.56 of their number", low=0, high=600),
    Hyperparameter("embedding_lr_factor", _F, 1.0,
                   "factor on lr of embeddings and of trained missing values; not for lbfgs", low=0),
    Hyperparameter("input_scale", _C, "none", "trained factor on each value that the first layer reads",
                   choices=("none", "trained")),
    Hyperparameter("input_scale_lr_factor", _F, 1.0, "factor on lr of input_scale; not for lbfgs", low=0),
    Hyperparameter(
        "missing_value", _C, "median", "what a missing number becomes, beside its flag: the median, or that plus a "
        "trained number", choices=("median", "trained"),
    ),
    Hyperparameter(
        "target_transform", _C, "none",
        "what a regression learns in place of its target, undone in predictions; not for poisson, gamma, tweedie",
        choices=TARGET_TRANSFORMS,
    ),
    Hyperparameter(
        "clamp_output", _C, "none",
        "bounds of a regression's predictions: none, or its target's in the training part; not for poisson, gamma, "
        "tweedie", choices=("none", "train"),
    ),
    Hyperparameter("seed", _I, None, "seed of weights, data order and noise; the search's when left out",
                   low=0, high=2**63 - 1),
)  # fmt: skip

REGISTRY: dict[str, Hyperparameter] = {row.name: row for row in _ROWS}
"""All hyperparameters by name, in the order of the documentation."""


def lookup(name: str) -> Hyperparameter | None:
    """Find the row for a key of a spec, which may name one layer (`width_2`); return None for an unknown key."""
    if name in REGISTRY:
        return REGISTRY[name]
    base, _, layer = name.rpartition("_")
    row = REGISTRY.get(base)
    if row is None or not row.per_layer or not layer.isdecimal() or layer.startswith("0"):
        return None
    return row if int(layer) <= MAX_DEPTH else None
