"""Differences between two runs as a forest plot: a row each, its 95 % interval, a line at no difference.

In: a table of differences. Out: a `Chart`. Placing it on a page is left to the template.
"""

from typing import Any

import pandas as pd

from stages.core.pages.charts import INK, MUTED, TRAIN, VAL, Chart, draw

SIDES = {"B is better": VAL, "A is better": TRAIN, "not significant": MUTED}
# The axis shows at least so many points to either side, so that small differences look small.
LEAST_POINTS = 5.0


def draw_differences(rows: pd.DataFrame, *, title: str, summary: str) -> Chart:
    """Draw differences B - A in points, in the order given.

    Parameters
    ----------
    rows
        Columns name, difference, low, high (in points) and significant.
    title, summary
        The chart's heading, and what it shows in a sentence.
    """
    rows = rows.astype({name: float for name in ("difference", "low", "high")})  # None, where no interval is known
    values = [
        {"row": number, "difference": row.difference, **_interval(row), "side": _side(row)}
        for number, row in enumerate(rows.itertuples())
    ]
    widest = max(LEAST_POINTS, float(rows[["low", "high", "difference"]].abs().max().max()))
    spec = {
        "width": 260,
        "height": {"step": 24},
        "params": [{"name": "names", "value": [name or "(empty)" for name in rows["name"]]}],
        "data": {"values": values},
        "layer": _layers([-widest, widest]),
    }
    return Chart(title, summary, draw(spec, f"{title}. {summary}"), rows)


def _interval(row: Any) -> dict[str, float | None]:
    """Its ends as JSON holds them, which knows no NaN."""
    return {"low": None, "high": None} if pd.isna(row.low) else {"low": row.low, "high": row.high}


def _side(row: Any) -> str:
    if not row.significant:
        return "not significant"
    return "B is better" if row.difference > 0 else "A is better"


def _layers(domain: list[float]) -> list[dict[str, Any]]:
    """The line of no difference, the intervals, and the differences; where no interval is known, a point alone."""
    axis = {"labelExpr": "names[datum.value]", "labelLimit": 205, "labelColor": INK, "domain": False, "ticks": False}
    rows = {"field": "row", "type": "ordinal", "title": None, "axis": axis | {"labelPadding": 8}}
    points = {
        "field": "difference",
        "type": "quantitative",
        "scale": {"domain": domain},
        "title": "B - A, in points",
        "axis": {"tickCount": 7},
    }
    scale = {"domain": list(SIDES), "range": list(SIDES.values())}
    colour = {"color": {"field": "side", "type": "nominal", "scale": scale}}
    shape = {
        "shape": {"field": "side", "type": "nominal", "scale": {**scale, "range": ["circle", "diamond", "square"]}}
    }
    return [
        {
            "data": {"values": [{"difference": 0}]},
            "mark": {"type": "rule", "color": MUTED, "strokeDash": [2, 3]},
            "encoding": {"x": points},
        },
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"y": rows, "x": points | {"field": "low"}, "x2": {"field": "high"}} | colour,
        },
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
            "encoding": {"y": rows, "x": points} | colour | shape,
        },
    ]
