"""The competitors in `benchmarks.whole_search`: `python -m benchmarks.whole_rivals SIDE FOLDER` prints their scores."""

from __future__ import annotations

import csv
import json
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Params = Mapping[str, Any]
PROCESSES = 2
TORCH_ACTIVATIONS = {
    "relu": "ReLU", "leaky_relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU", "relu6": "ReLU6",
    "tanh": "Tanh", "sigmoid": "Sigmoid",
}  # fmt: skip


class Digits:
    """The rows, their classes and their folds."""

    def __init__(self, folder: Path) -> None:
        with (folder / "digits.csv").open() as file:
            _, *lines = list(csv.reader(file))
        table = np.array(lines, dtype=np.float32)
        self.x, self.y, self.fold = table[:, :-2], table[:, -2].astype(np.int64), table[:, -1].astype(np.int64)

    def split(self, fold: int) -> tuple[npt.NDArray[Any], ...]:
        """Split into training and validation part, standardised by the training part: x, y, x_valid, y_valid."""
        is_valid = self.fold == fold
        mean, std = self.x[~is_valid].mean(axis=0), self.x[~is_valid].std(axis=0)
        x = (self.x - mean) / np.where(std > 0, std, 1)
        return x[~is_valid], self.y[~is_valid], x[is_valid], self.y[is_valid]


def hidden(params: Params) -> tuple[int, ...]:
    """List the widths of the hidden layers."""
    width, depth = int(params["width"]), int(params["depth"])
    return (width,) * depth


def network(sizes: tuple[int, ...], activation: str) -> Any:
    """Build a plain `nn.Sequential` with 64 inputs and 10 outputs."""
    from torch import nn

    layers: list[Any] = []
    for n_in, n_out in zip((64, *sizes), (*sizes, 10), strict=True):
        layers += [nn.Linear(n_in, n_out), getattr(nn, TORCH_ACTIVATIONS[activation])()]
    return nn.Sequential(*layers[:-1])


# -- Optuna -----------------------------------------------------------------------------------------------------


def run_optuna(folder: Path, configurations: list[Params]) -> list[float]:
    """Train the configurations with Optuna, in two processes on one storage whose queue holds them."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="benchmark", storage=_storage(folder), direction="maximize")
    for number in range(len(configurations)):
        study.enqueue_trial({"configuration": number})
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_optimise, args=(folder,)) for _ in range(PROCESSES)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    values = {t.params["configuration"]: t.value for t in study.trials if t.value is not None}
    return [float(values[number]) for number in range(len(configurations))]


def _storage(folder: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(folder / "journal.log")))


def _optimise(folder: Path) -> None:
    import optuna
    import torch

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    configurations, digits = json.loads((folder / "configurations.json").read_text()), Digits(folder)
    study = optuna.load_study(study_name="benchmark", storage=_storage(folder))

    def objective(trial: Any) -> float:
        params = configurations[trial.suggest_int("configuration", 0, len(configurations) - 1)]
        return float(np.mean([train(params, *digits.split(fold)) for fold in range(digits.fold.max() + 1)]))

    def stop_at_the_end(study: Any, _trial: Any) -> None:
        if not any(t.state.name == "WAITING" for t in study.get_trials(deepcopy=False)):
            study.stop()

    study.optimize(objective, n_trials=len(configurations), callbacks=[stop_at_the_end])


def train(params: Params, x: Any, y: Any, x_valid: Any, y_valid: Any) -> float:
    """Train one network with plain PyTorch; return the accuracy of the best epoch."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = network(hidden(params), params["activation"])
    optimizer, loss_of = torch.optim.Adam(net.parameters(), lr=params["lr"]), nn.CrossEntropyLoss()
    x, y, x_valid, y_valid = (torch.from_numpy(np.ascontiguousarray(a)) for a in (x, y, x_valid, y_valid))
    best = 0.0
    for _ in range(params["epochs"]):
        for rows in torch.split(torch.randperm(len(x)), params["batch_size"]):
            optimizer.zero_grad()
            loss_of(net(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            best = max(best, (net(x_valid).argmax(1) == y_valid).double().mean().item())
    return best


# -- scikit-learn and skorch ------------------------------------------------------------------------------------


def run_sklearn(folder: Path, configurations: list[Params]) -> list[float]:
    """Train the configurations with `MLPClassifier`; a score is that of the last epoch."""
    from sklearn.neural_network import MLPClassifier

    points = _points(configurations, sizes="hidden_layer_sizes", activation="activation", rate="learning_rate_init")
    epochs = configurations[0]["epochs"]
    return _grid(folder, MLPClassifier(max_iter=epochs, n_iter_no_change=epochs, alpha=0, random_state=0), points)


def run_skorch(folder: Path, configurations: list[Params]) -> list[float]:
    """Train the configurations with `NeuralNetClassifier`, without its own validation; scores are of the last epoch."""
    import torch
    from skorch import NeuralNetClassifier

    points = _points(configurations, sizes="module__sizes", activation="module__activation", rate="lr")
    net = NeuralNetClassifier(
        network, criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam,
        max_epochs=configurations[0]["epochs"], iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip
    return _grid(folder, net, points)


def _points(configurations: list[Params], *, sizes: str, activation: str, rate: str) -> list[dict[str, Any]]:
    """Rename the hyperparameters of the configurations to those of a library."""
    return [
        {sizes: hidden(p), activation: p["activation"], rate: p["lr"], "batch_size": p["batch_size"]}
        for p in configurations
    ]


def _grid(folder: Path, model: Any, points: list[dict[str, Any]]) -> list[float]:
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    warnings.simplefilter("ignore")
    digits = Digits(folder)
    pipeline = make_pipeline(StandardScaler(), model)
    name = pipeline.steps[-1][0]
    grid = [{f"{name}__{key}": [value] for key, value in point.items()} for point in points]
    search = GridSearchCV(pipeline, grid, cv=PredefinedSplit(digits.fold), n_jobs=PROCESSES, refit=False)
    search.fit(digits.x, digits.y)
    return [float(score) for score in search.cv_results_["mean_test_score"]]


SIDES: dict[str, Callable[[Path, list[Params]], list[float]]] = {
    "optuna": run_optuna,
    "scikit-learn": run_sklearn,
    "skorch": run_skorch,
}


def main() -> None:
    """Train every configuration of a folder and print the scores to standard output."""
    folder = Path(sys.argv[2])
    configurations = json.loads((folder / "configurations.json").read_text())
    print(json.dumps(SIDES[sys.argv[1]](folder, configurations)))


if __name__ == "__main__":
    main()
