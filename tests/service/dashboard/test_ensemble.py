"""Rivals and ensemble above the leaderboard of a search, in a real browser, over a real master with a worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from foldstep.client import Foldstep
from tests.acceptance.processes import Processes
from tests.foldstep.test_calibrated import LEARNED, noisy_table
from tests.service.dashboard.browser import Browser, is_shown

PARAMETERS = {"lr": [0.003, 0.01, 0.03], "width": 8, "activation": ["tanh", "relu"], "epochs": 15, "batch_size": 16}


def table() -> str:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(90, 3))
    y = np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + generator.normal(0, 0.3, 90)
    return "a,b,c,y\n" + "\n".join(",".join(f"{v:.4f}" for v in row) for row in np.column_stack([x, y])) + "\n"


def test_the_page_shows_who_predicts_together_and_what_it_brings(tmp_path: Path, browser: Browser) -> None:
    with Processes(tmp_path) as processes:
        _, master = processes.master()
        processes.worker(master)
        (processes.data_dir / "table.csv").write_text(table())
        spec = {"name": "together", "seed": 1, "method": "random", "cv": {"folds": 3}, "budget": {"trials": 6},
                "data": {"dataset": str(processes.data_dir / "table.csv"), "target": "y"},
                "parameters": PARAMETERS}  # fmt: skip
        search = master.submit(spec).id
        browser.open(master.page_link(search))
        browser.until(is_shown("detail"), "the search")
        assert browser.evaluate("document.getElementById('ensemble').hidden")  # before the first score
        master.wait(search)
        found = master.ensemble(search)
        assert found is not None
        assert len(found.members) > 1
        browser.until(is_shown("ensemble"), "the ensemble")
        named = ", ".join(f"{member.trial} {100 * member.weight:.0f} %" for member in found.members)
        browser.until(f"document.getElementById('ensemble-said').innerText.includes('Trials {named}')", "its members")
        text: str = browser.evaluate("document.getElementById('ensemble-said').innerText")
        assert f"rmse {found.score:.5f} on out-of-fold rows" in text
        assert f"trial {found.winner} alone {found.winner_score:.5f}" in text
        assert f"{found.n_networks} networks predict together." in text
        assert found.cost_sentence is not None
        assert found.cost_sentence in text
        assert found.held_out_score is not None
        assert f"On rows that took no part in the choice: {found.held_out_score:.5f}" in text
        winner = master.winner(search)
        assert winner is not None
        sentences = json.dumps(" ".join(winner.sentences))
        browser.until(f"document.getElementById('winner-said').innerText === {sentences}", "the rivals")
        browser.evaluate("document.querySelector('#ensemble button').click()")
        browser.until(is_shown("trial"), "the trial that was clicked")
        browser.open(master.page_link(search).split("#")[0] + "#")
        browser.until(is_shown("searches"), "the list")
        assert browser.evaluate("document.getElementById('ensemble-said').children.length") == 0
        shows_how_sure_predictions_are(processes, master, browser)
        shows_what_was_trained_for_it(master, browser, spec)


def shows_what_was_trained_for_it(master: Foldstep, browser: Browser, spec: dict[str, Any]) -> None:
    single = {name: value[0] if isinstance(value, list) else value for name, value in spec["parameters"].items()}
    changes = {"name": "seeds", "parameters": single, "budget": {"trials": 1}, "final": {"ensemble": "seeds"}}
    search = master.wait(master.submit({**spec, **changes}).id)
    browser.open(master.page_link(search.id))
    follower = master.search(search.id).followers["ensemble"]
    assert follower is not None
    master.wait(follower)
    said = "document.getElementById('ensemble-said').textContent"
    browser.until(f"{said}.includes('Trial 0 and its configuration with 4 other seeds; 15 networks')", "its members")
    found = master.ensemble(search.id)
    assert found is not None
    assert found.cost_sentence is not None
    assert found.cost_sentence in browser.evaluate(said)


def shows_how_sure_predictions_are(processes: Processes, master: Foldstep, browser: Browser) -> None:
    (processes.data_dir / "noisy.csv").write_text(noisy_table())
    data = {"dataset": str(processes.data_dir / "noisy.csv"), "target": "state", "test": 0.25}
    spec = {"name": "sure", "seed": 1, "method": "grid", "cv": {"folds": 3}, "metric": "log_loss", "data": data,
            "parameters": LEARNED}  # fmt: skip
    search = master.wait(master.submit(spec).id).id
    found = master.ensemble(search)
    assert found is not None
    assert found.calibration is not None
    browser.open(master.page_link(search))
    browser.until("document.querySelectorAll('#ensemble-said tbody tr').length === 10", "the table of reliability")
    assert found.notes[-1] in browser.evaluate("document.getElementById('ensemble-said').textContent")
    share = f"{100 * found.calibration.after.curve[-1].share:.2g} %"
    assert browser.evaluate("document.querySelector('#ensemble-said tr:last-child td:last-child').textContent") == share


def test_the_test_part_is_scored_with_a_button_and_once(tmp_path: Path, browser: Browser) -> None:
    with Processes(tmp_path) as processes:
        _, master = processes.master()
        processes.worker(master)
        (processes.data_dir / "table.csv").write_text(table())
        spec = {"name": "held-out", "seed": 1, "method": "random", "cv": {"folds": 2}, "budget": {"trials": 3},
                "data": {"dataset": str(processes.data_dir / "table.csv"), "target": "y", "test": 0.2},
                "parameters": PARAMETERS,
                "final": {"refit": {"seeds": 1}, "reseed": {"top": 1, "seeds": 2}}}  # fmt: skip
        search = master.wait(master.submit(spec).id).id
        refit = master.search(search).followers["refit"]
        assert refit is not None
        master.wait(refit)
        follower = master.search(search).followers["reseed"]
        assert follower is not None
        master.wait(follower)
        browser.open(master.page_link(search))
        browser.until(is_shown("final"), "the test part")
        text = "document.getElementById('final-said').innerText"
        assert "Held out, not yet scored" in browser.evaluate(text)
        assert master.final(search).model is None
        (refitted,) = master.final(search).refit
        assert refit in refitted
        assert refitted in browser.evaluate(text)
        browser.evaluate("document.getElementById('finalize').click()")
        browser.until(f"{text}.includes('rows that nothing was chosen on')", "the score")
        model = master.final(search).model
        assert model is not None
        assert model.sentences[0] == refitted
        assert "\n".join(model.sentences) in browser.evaluate(text).replace("\n\n", "\n")
        reseed = master.final(search).reseed
        assert reseed is not None
        assert reseed.sentences[0] in browser.evaluate(text)
        links = "[...document.querySelectorAll('#final-said a')].map((a) => a.innerText)"
        assert browser.evaluate(links) == [refit, follower]
        assert browser.evaluate("document.getElementById('finalize').hidden")
        browser.open(master.page_link(search).split("#")[0] + "#")
        browser.until(is_shown("searches"), "the list")
        assert browser.evaluate("document.getElementById('final').hidden")
        browser.open(f"{master.page_link(search)}")
        browser.until(f"{text}.includes('rows that nothing was chosen on')", "the stored score")
