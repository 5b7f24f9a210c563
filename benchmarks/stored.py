"""Searches with many stored trials, made by SQL in seconds: what a database holds after days."""

from __future__ import annotations

from sqlalchemy import create_engine, text


def store(url: str, search: str, n: int, folds: int) -> None:
    """Store `n` completed trials of a new search by SQL, with what their folds scored."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    is_sqlite = engine.dialect.name == "sqlite"
    typed = _PLAIN if is_sqlite else _CAST
    with engine.begin() as connection:
        for statement in _STORE:
            connection.execute(text(statement.format(**typed)), {"search": search, "n": n, "folds": folds, **_GIVEN})
    if not is_sqlite:  # which Postgres does by itself after a while
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    engine.dispose()


_PLAIN = {"json": ":params", "at": ":at"}
_CAST = {"json": "CAST(:params AS json)", "at": "CAST(:at AS timestamptz)"}
_NUMBERS = "WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < :n)"
_SCORE = "(i * 1009 % 1000003) / 1000003.0"
_GIVEN = {
    "curve": bytes(40),
    "at": "2026-01-01 00:00:00.000000",
    "params": '{"lr":0.001,"width":32,"dropout":0.25,"epochs":5,"seed":0}',
}
_STORE = (
    f"""
    INSERT INTO trials (search_id, number, stage, state, params, pack_key, score, rank_key, spread, epoch, epochs,
                        attempts, kept, created_at, finished_at, duration_s)
    {_NUMBERS}
    SELECT :search, i, 0, 'completed', {{json}}, 32, {_SCORE}, -{_SCORE}, 0.01, 5, 5,
           1, false, {{at}}, {{at}}, 1.0 FROM numbers
    """,
    f"""
    INSERT INTO folds (search_id, trial, fold, score, best_epoch, epochs, train_loss, scores)
    {_NUMBERS}, parts(f) AS (SELECT 0 UNION ALL SELECT f + 1 FROM parts WHERE f + 1 < :folds)
    SELECT :search, i, f, {_SCORE}, 5, 5, :curve, :curve FROM numbers, parts
    """,
    "UPDATE stages SET n_planned = :n WHERE search_id = :search",
)
