"""The words of scikit-learn, Keras, PyTorch, Optuna and W&B for what a spec says, each with the word to take here.

A synonym is never taken silently, for it may mean something else: it only becomes the hint of a refusal. Words are
compared without capitals, underscores and dashes. A target is a path of a spec (`budget.trials`), a path with a value
(`early_stop.rungs=hyperband`) or, in `VALUES` and `DISTRIBUTION_KEYS`, a plain word; ` or ` stands between two. A test
checks that every target exists.
"""

from __future__ import annotations


def _table(rows: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Turn a table of targets to their synonyms around: squeezed synonym to targets."""
    found: dict[str, tuple[str, ...]] = {}
    for target, words in rows.items():
        for word in dict.fromkeys(map(squeezed, words.split())):
            found[word] = (*found.get(word, ()), target)
    return found


def squeezed(word: str) -> str:
    """Reduce a word to its letters and digits, in lower case."""
    return "".join(letter for letter in word.lower() if letter.isalnum())


KEYS = _table(
    {
        "parameters.lr": "learning_rate learning_rate_init learn_rate eta eta0 step_size initial_lr base_lr",
        "parameters.hidden": "hidden_layer_sizes hidden_layers hidden_sizes layers layer_sizes hidden_units "
        "architecture topology",
        "parameters.width": "hidden_size hidden_dim hidden_width n_units num_units neurons n_neurons layer_size",
        "parameters.depth": "n_layers num_layers n_hidden n_hidden_layers num_hidden_layers number_of_layers",
        "parameters.activation": "activation_function activation_fn activations act act_fn nonlinearity",
        "parameters.units=glu": "gated gated_units glu gating gated_linear_unit",
        "parameters.dropout": "dropout_rate drop drop_rate dropout_p p_dropout dropout_prob",
        "parameters.norm": "normalization normalisation batch_norm batchnorm batch_normalization layer_norm norm_layer",
        "parameters.init": "initializer initialiser kernel_initializer weight_init weights_init initialization",
        "parameters.init_gain": "gain",
        "parameters.optimizer": "solver optim opt optimiser optimizer_name update_rule",
        "parameters.optimizer=nesterov": "nesterov nesterovs_momentum use_nesterov",
        "parameters.weight_decay": "alpha l2 l2_penalty l2_reg l2_regularization reg_lambda lambda wd regularization",
        "parameters.l1": "l1_penalty l1_reg l1_regularization reg_alpha",
        "parameters.eps": "epsilon adam_epsilon",
        "parameters.beta1": "betas b1 adam_beta1",
        "parameters.beta2": "b2 adam_beta2",
        "parameters.clip_norm": "clipnorm grad_clip gradient_clip gradient_clipping gradient_clip_val max_grad_norm "
        "max_norm clip global_clipnorm",
        "parameters.swa_start": "swa stochastic_weight_averaging",
        "parameters.mixup": "mixup_alpha",
        "parameters.muon_lr": "muon_learning_rate lr_muon",
        "parameters.ema_decay": "ema ema_momentum use_ema",
        "parameters.schedule": "scheduler lr_scheduler lr_schedule learning_rate_schedule learning_rate_scheduler",
        "parameters.warmup_epochs": "warmup warmup_steps warm_up",
        "parameters.batch_size": "bs batch minibatch minibatch_size mini_batch_size train_batch_size batchsize",
        "parameters.epochs": "n_epochs num_epochs nb_epoch nb_epochs max_epochs epoch max_iter n_iter iterations",
        "parameters.patience": "n_iter_no_change early_stopping early_stopping_patience early_stopping_rounds",
        "parameters.loss": "criterion loss_function loss_fn loss_func objective",
        "parameters.class_weight": "class_weights pos_weight scale_pos_weight sample_weight",
        "parameters.label_smoothing": "label_smooth smoothing",
        "parameters.precision": "dtype amp mixed_precision",
        "parameters.scaler": "scaling feature_scaling standardize normalizer preprocessing",
        "parameters.seed": "random_state random_seed manual_seed",
        "seed": "random_state random_seed manual_seed",
        "parameters": "param_distributions param_grid param_space params space search_space hyperparameters hparams "
        "config",
        "method": "search_method search_algorithm search_alg algorithm sampler strategy tuner search",
        "metric": "metrics scoring objective eval_metric monitor score optimize refit",
        "early_stop": "early_terminate early_stopping pruner pruning",
        "budget.trials": "n_trials num_trials max_trials trials count run_cap n_iter max_evals num_samples n_calls "
        "n_runs",
        "budget.time": "timeout time max_time time_limit time_budget time_budget_s max_runtime",
        "budget.trial_time": "trial_time trial_timeout max_trial_time",
        "budget.parallel": "n_jobs concurrency max_concurrent max_concurrent_trials parallel parallel_trials",
        "cv": "cross_validation crossval kfold split splits",
        "cv.folds": "n_splits n_folds num_folds k k_folds folds",
        "cv.holdout": "validation_split validation_fraction validation_size val_size val_split valid_size holdout",
        "cv.repeats": "n_repeats",
        "cv.stratify": "stratified",
        "cv.group": "groups group_column",
        "cv.time": "time_column date_column",
        "data.test": "test_size test_split test_fraction",
        "data": "datasets",
        "data.dataset": "file path csv filename source data_path data_file table train dataset",
        "data.target": "label labels y target_column target_name label_column outcome response dependent target",
        "data.ignore": "drop drop_columns exclude excluded skip ignore_columns",
        "data.task": "problem_type task_type problem task",
        "early_stop.eta": "reduction_factor factor",
        "early_stop.min_epochs": "min_iter min_resource grace_period min_epoch",
        "early_stop.rungs": "type",
        "checkpoints.keep": "save_top_k top_k keep_best n_best",
        "warm_start": "resume_from",
    }
)
"""Keys anywhere in a spec; of several targets of a word that in the same part of the spec comes first."""

DISTRIBUTION_KEYS = _table(
    {
        "low": "lower start from minimum lo lower_bound lbound a",
        "high": "upper stop to maximum hi upper_bound ubound b end",
        "log": "logarithmic log_scale log_base scale base",
        "step": "quantum stepsize increment",
        "choices": "options categories list candidates grid",
        "value": "const constant default fixed",
        "when": "condition conditions if depends_on",
    }
)
"""Keys of a distribution."""

VALUES = {
    "method": _table(
        {
            "random": "random_search randomized randomized_search randomizedsearchcv randomsampler",
            "grid": "grid_search gridsearchcv gridsampler exhaustive brute_force",
            "sobol": "quasi_random qmc qmcsampler halton latin_hypercube lhs",
            "tpe": "bayes bayesian bayesian_optimization bayesopt hyperopt optuna tpesampler parzen bohb",
            "gp": "bayes bayesian bayesian_optimization bayesopt gaussian_process gpsampler spearmint bo",
            "cmaes": "cma cmaessampler evolution evolutionary genetic",
            "forest": "smac random_forest rf",
            "early_stop.rungs=hyperband": "hyperband hyperbandpruner",
            "early_stop.rungs=asha": "asha successive_halving halving halvingrandomsearchcv",
        }
    ),
    "metric.name": _table(
        {
            "accuracy": "acc accuracy_score categorical_accuracy sparse_categorical_accuracy binary_accuracy",
            "top_3_accuracy": "top_3 top3 top_k top_k_accuracy top_k_accuracy_score top_k_categorical_accuracy",
            "top_5_accuracy": "top_5 top5 top_k top_k_accuracy top_k_accuracy_score top_k_categorical_accuracy",
            "balanced_accuracy": "balanced_acc balanced_accuracy_score bacc bal_acc uar",
            "f1": "f1_score f1_macro f1_weighted f1_micro f_score f_measure fscore",
            "roc_auc": "auc auroc roc roc_auc_score roc_auc_ovr roc_auc_ovo area_under_curve auc_roc",
            "pr_auc": "average_precision average_precision_score aucpr auc_pr auprc ap",
            "mcc": "matthews matthews_corrcoef matthews_correlation phi",
            "brier": "brier_score brier_score_loss brier_loss",
            "mape": "mean_absolute_percentage_error percentage_error",
            "rmsle": "root_mean_squared_log_error root_mean_squared_logarithmic_error msle",
            "log_loss": "loss cross_entropy binary_crossentropy categorical_crossentropy nll bce",
            "rmse": "root_mean_squared_error rmse_score",
            "mse": "loss mean_squared_error squared_error l2",
            "mae": "mean_absolute_error absolute_error l1",
            "r2": "r2_score r_squared rsquared explained_variance coefficient_of_determination",
            "poisson_deviance": "mean_poisson_deviance poisson",
            "gamma_deviance": "mean_gamma_deviance gamma",
            "tweedie_deviance": "mean_tweedie_deviance tweedie",
            "ordinal_mae": "macro_mae rank_mae ordinal",
            "pinball": "mean_pinball_loss quantile_loss quantile pinball_loss",
        }
    ),
    "data.task": _table(
        {
            "classification": "classifier binary multiclass binary_classification multiclass_classification classify",
            "regression": "regressor regress reg continuous multioutput_regression",
            "multilabel": "multilabel_classification multioutput_classification multioutput labels",
        }
    ),
    "early_stop.rungs": _table({"asha": "successive_halving sha median", "hyperband": "hyperbandpruner bohb"}),
    "optimizer": _table(
        {
            "sgd": "gradient_descent stochastic_gradient_descent gd",
            "momentum": "sgd_momentum momentum_sgd",
            "nesterov": "nag nesterov_momentum sgd_nesterov",
            "lbfgs": "l_bfgs_b bfgs",
        }
    ),
    "activation": _table(
        {
            "silu": "swish",
            "sigmoid": "logistic logsig",
            "leaky_relu": "lrelu",
            "tanh": "hyperbolic_tangent tansig hardtanh",
            "relu": "rectifier rectified_linear",
        }
    ),
    "norm": _table({"batch": "batch_norm batchnorm1d batch_normalization bn", "layer": "layer_norm ln"}),
    "init": _table(
        {
            "he_uniform": "he kaiming kaiming_uniform",
            "he_normal": "kaiming_normal",
            "glorot_uniform": "glorot xavier xavier_uniform",
            "glorot_normal": "xavier_normal",
            "lecun_normal": "lecun",
        }
    ),
    "schedule": _table(
        {
            "constant": "fixed none constantlr",
            "step": "steplr step_decay multisteplr piecewise",
            "exponential": "exponentiallr exponential_decay",
            "inverse_sqrt": "invscaling noam",
            "linear": "linearlr linear_decay polynomial",
            "cosine": "cosine_annealing cosineannealinglr cosine_decay",
            "cosine_restarts": "cosine_annealing_warm_restarts cosineannealingwarmrestarts sgdr cosine_decay_restarts",
            "trapezoidal": "wsd",
            "cyclical": "cyclic cycliclr clr",
            "one_cycle": "onecyclelr",
            "plateau": "reduce_lr_on_plateau adaptive",
        }
    ),
    "loss": _table(
        {
            "cross_entropy": "crossentropyloss categorical_crossentropy sparse_categorical_crossentropy log_loss bce "
            "binary_crossentropy bceloss bcewithlogitsloss nll nllloss softmax",
            "label_cross_entropy": "binary_crossentropy bce bceloss bcewithlogitsloss multilabel_soft_margin",
            "mse": "mean_squared_error squared_error mseloss l2",
            "mae": "mean_absolute_error absolute_error l1 l1loss",
            "huber": "smooth_l1 smoothl1loss huberloss",
            "poisson": "poisson_nll poissonnllloss",
            "hinge": "svm multi_margin multimarginloss max_margin hinge_loss squared_hinge",
            "focal": "focal_loss sigmoid_focal_loss",
            "ordinal": "coral corn ordinal_regression cumulative_link ordered_logit",
            "quantile": "pinball pinball_loss quantile_loss",
            "gamma": "gamma_nll gamma_deviance",
            "tweedie": "tweedie_deviance compound_poisson",
        }
    ),
    "scaler": _table(
        {
            "standard": "standardscaler standardize standardise standardization zscore",
            "minmax": "minmaxscaler normalize normalise",
            "robust": "robustscaler",
            "quantile": "quantiletransformer quantile_transform rank",
            "whiten": "pca zca whitening",
        }
    ),
    "precision": _table(
        {"float32": "fp32 single float f32", "bfloat16": "bf16 fp16 float16 half mixed mixed_precision"}
    ),
    "on_divergence": _table({"stop": "none abort fail prune", "restart": "retry"}),
    "distribution": _table(
        {
            "uniform": "uniform_float float suggest_float",
            "int_uniform": "int randint uniform_int integer suggest_int",
            "log_uniform_values": "loguniform reciprocal log_uniform log inv_log_uniform log10",
            "categorical": "choice suggest_categorical",
        }
    ),
}
"""Values, by the path of the key or, below `parameters`, by the name of the hyperparameter."""

ADVICE = {
    squeezed(word): advice
    for words, advice in {
        "goal direction mode maximize minimize greater_is_better":
            "leave it out, a metric's name says whether more or less is better",
        "program command project entity description verbose callbacks pre_dispatch error_score return_train_score":
            "leave it out, nothing here needs it",
        "device gpu gpus cuda accelerator": "leave it out, every worker takes the devices it finds",
        "shuffle": "leave it out, rows are shuffled by the seed except with cv: {time: COLUMN}",
        "workers num_workers": "say it to the command: foldstep run --workers N",
        "distribution type": "low and high with log: true, or choices",
    }.items()
    for word in words.split()
}  # fmt: skip
"""What to do about keys that have no counterpart here."""
