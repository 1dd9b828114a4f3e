"""The results of a search: a table of the trials, and a page with their history and the settings' importance.

In: the study. Out: text, `trials.csv`, `tuning.html` (one file, no scripts, nothing fetched).
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from markupsafe import Markup, escape
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from cache.atomic import write_text
from stages.core.errors import StageError
from stages.core.pages.charts import draw
from stages.core.tables.csv_files import write_table
from stages.tune.optuna_study import get_finished_trials

SHOWN = 10
MIN_FOR_IMPORTANCE = 4
INK, MUTED, ACCENT = "var(--ink)", "var(--muted)", "var(--accent)"


def tabulate_trials(study: optuna.Study) -> pd.DataFrame:
    """Tabulate the finished trials, best first, pruned last: trial, f1_macro, accuracy, epoch, seconds, pruned, values.

    Raises
    ------
    StageError
        If no trial ran to its end.
    """
    rows = []
    for trial in get_finished_trials(study):
        found = trial.user_attrs["found"]
        rows.append(
            {
                "trial": found["slot"],
                "f1_macro": trial.value if trial.state == TrialState.COMPLETE else found["f1"],
                "accuracy": found["accuracy"],
                "epoch": found["epoch"],
                "seconds": found["seconds"],
                "pruned": trial.state == TrialState.PRUNED,
                "values": found["values"],
            }
        )
    if all(row["pruned"] for row in rows):
        raise StageError("no trial ran to its end: raise tune.trials and run `pipeline tune` again")
    table = pd.DataFrame(rows)
    return table.sort_values(["pruned", "f1_macro", "trial"], ascending=[True, False, True], ignore_index=True)


def write_trials(table: pd.DataFrame, folder: Path) -> None:
    """Write every trial, a column per setting."""
    write_table(_spread(table), folder / "trials.csv")


def format_trials(table: pd.DataFrame, target: str, images: int) -> str:
    """Format the best trials for a terminal, with the width of the interval that chance gives a score."""
    pruned = int(table["pruned"].sum())
    shown = _spread(table[~table["pruned"]].head(SHOWN)).drop(columns="pruned").round({"seconds": 1})
    shown[["f1_macro", "accuracy"]] = shown[["f1_macro", "accuracy"]].map("{:.3f}".format)
    accuracy = float(table.iloc[0]["accuracy"])
    chance = 1.96 * np.sqrt(max(accuracy * (1 - accuracy), 1e-9) / images)
    return "\n".join(
        [
            f"{target}: {len(table)} trials, {pruned} of them pruned; scores are val's",
            shown.to_string(index=False),
            f"On {images} val images an accuracy has a 95 % interval of ± {chance:.3f}, and the best of many is partly "
            "chance: `pipeline evaluate` reports the test score. Trial 0 has the current settings.",
        ]
    )


def write_page(study: optuna.Study, table: pd.DataFrame, target: str, folder: Path) -> Path:
    """Write the plots and the table as one page."""
    charts = [_draw_history(table)]
    if importances := _compute_importances(study):
        charts.append(_draw_importances(importances))
    body = Markup("").join(Markup("<h2>{}</h2><p>{}</p>{}").format(*chart) for chart in charts)
    rows = _spread(table.head(SHOWN)).round(4).to_html(index=False, border=0, escape=True)
    page = PAGE.format(title=escape(f"Tuning {target}"), charts=body, table=Markup(rows))
    write_text(folder / "tuning.html", page)
    return folder / "tuning.html"


def _compute_importances(study: optuna.Study) -> dict[str, float]:
    """Compute the share of the score's variance that each setting explains (fANOVA, Hutter et al., 2014)."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len(complete) < MIN_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0)))


def _draw_history(table: pd.DataFrame) -> tuple[str, str, Markup]:
    ordered = table.sort_values("trial")
    best = ordered["f1_macro"].where(~ordered["pruned"]).cummax().ffill()
    values = ordered.assign(kind=np.where(ordered["pruned"], "pruned", "completed"), best=best)
    records = values[["trial", "f1_macro", "kind", "best"]].astype({"best": object}).where(lambda t: t.notna(), None)
    trial = {"field": "trial", "type": "quantitative", "axis": {"tickMinStep": 1, "grid": False}}
    y_scale = {"zero": False}
    kinds = {"domain": ["completed", "pruned"], "range": [ACCENT, MUTED]}
    spec = {
        "width": 560,
        "height": 240,
        "data": {"values": records.to_dict("records")},
        "layer": [
            {
                "mark": {"type": "point", "filled": True, "size": 36},
                "encoding": {
                    "x": trial,
                    "color": {"field": "kind", "type": "nominal", "scale": kinds},
                    "y": {"field": "f1_macro", "type": "quantitative", "title": "macro F1 on val", "scale": y_scale},
                },
            },
            {
                "mark": {"type": "line", "interpolate": "step-after", "color": INK, "strokeWidth": 1.5},
                "encoding": {"x": trial, "y": {"field": "best", "type": "quantitative", "scale": y_scale}},
            },
        ],
    }
    caption = (
        f"The best is trial {table.iloc[0]['trial']} with {table.iloc[0]['f1_macro']:.3f}; the line is the best so far."
    )
    return "Score of every trial", caption, draw(spec, f"Macro F1 on val of every trial. {caption}")


def _draw_importances(importances: dict[str, float]) -> tuple[str, str, Markup]:
    values = [{"setting": name, "share": share} for name, share in importances.items()]
    share = {"field": "share", "type": "quantitative", "title": "share of the variance", "scale": {"domain": [0, 1]}}
    spec = {
        "width": 420,
        "height": {"step": 24},
        "data": {"values": values},
        "mark": {"type": "bar", "color": ACCENT, "height": 12},
        "encoding": {"y": {"field": "setting", "type": "nominal", "sort": "-x", "title": None}, "x": share},
    }
    most = max(importances, key=lambda name: importances[name])
    caption = f"{most} explains most of the difference between the completed trials ({importances[most]:.0%})."
    return "Importance of the settings", caption, draw(spec, f"Importance of every searched setting. {caption}")


def _spread(table: pd.DataFrame) -> pd.DataFrame:
    """Replace `values` by a column per setting."""
    values: list[dict[str, Any]] = table["values"].tolist()
    return table.drop(columns="values").join(pd.DataFrame(values, index=table.index))


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
:root {{
  color-scheme: light dark;
  --paper: #f7f4ef; --ink: #211f1c; --muted: #635d54; --line: #dfd9ce; --accent: #1c6259;
}}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: #151412; --ink: #ece7de; --muted: #aca498; --line: #38342f; --accent: #7cc7bb; }}
}}
body {{
  background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
}}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }}
th, td {{ text-align: right; padding: .3rem .7rem; border-bottom: 1px solid var(--line); }}
svg {{ width: 100%; height: auto; }}
</style></head>
<body><h1>{title}</h1>{charts}<h2>The best trials</h2>{table}</body></html>
"""
