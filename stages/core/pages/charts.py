"""Charts as inline SVG: Vega-Lite specifications drawn by vl-convert, coloured by the page's CSS variables.

In: small tables. Out: a `Chart` with its SVG, a sentence that sums it up, and the numbers as a table. Placing a chart
on a page is left to the templates.
"""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Any

import pandas as pd
import vl_convert
from markupsafe import Markup

WIDTH_PX = 340
FONT_PX = 12
# Variables of style.css: presentation attributes may hold them, so the SVG follows the page's theme.
INK, MUTED, LINE, TRAIN, VAL = "var(--ink)", "var(--muted)", "var(--line)", "var(--warm)", "var(--accent)"
# Grid lines of the logarithmic axis.
RATIOS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100]
DASHES = {"train": [4, 3], "val": [1, 0]}
COLOURS = {"train": TRAIN, "val": VAL}
CONFIG: dict[str, Any] = {
    "aria": False,  # the SVG as a whole is one image with a text alternative
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "gridColor": LINE,
        "domainColor": LINE,
        "tickColor": LINE,
        "labelFontSize": FONT_PX,
        "titleFontSize": FONT_PX,
        "titleFontWeight": "normal",
    },
    "legend": {
        "labelColor": INK,
        "labelFontSize": FONT_PX,
        "title": None,
        "orient": "top",
        "symbolSize": 260,
        "columnPadding": 18,
    },
    "text": {"color": INK, "fontSize": FONT_PX},
}


@dataclass(frozen=True)
class Chart:
    """A drawn chart.

    Attributes
    ----------
    title
        Its heading.
    summary
        What it shows, in a sentence; also the text alternative.
    svg
        Inline SVG, without scripts, links or fixed size.
    table
        The numbers that are drawn.
    """

    title: str
    summary: str
    svg: Markup
    table: pd.DataFrame


def draw_learning_curve(
    curve: pd.DataFrame, *, title: str, best_epoch: int | None, lower_is_better: bool = False
) -> Chart:
    """Draw a metric per epoch on train and val, with a line at the best epoch.

    Parameters
    ----------
    curve
        Columns `epoch` and any of train, val.
    title
        The metric's name.
    best_epoch
        The epoch whose weights were kept.
    lower_is_better
        Whether the best value is the smallest.
    """
    splits = [column for column in curve.columns if column != "epoch"]
    best = {
        "data": {"values": [] if best_epoch is None else [{"epoch": best_epoch}]},
        "mark": {"type": "rule", "color": MUTED, "strokeDash": [2, 3]},
        "encoding": {"x": {"field": "epoch", "type": "quantitative"}},
    }
    spec = {
        "width": WIDTH_PX,
        "height": 210,
        "autosize": {"type": "fit", "contains": "padding"},
        "layer": [best, _lines(curve, splits)],
    }
    summary = _curve_summary(curve, splits, title, best_epoch, lower_is_better)
    return Chart(title, summary, draw(spec, f"{title} per epoch. {summary}"), curve)


def _lines(curve: pd.DataFrame, splits: list[str]) -> dict[str, Any]:
    """One line per split, distinguished by colour and dashes."""
    epoch = {"field": "epoch", "type": "quantitative", "title": "epoch", "scale": {"zero": False, "nice": False}}
    value = {"field": "value", "type": "quantitative", "title": None, "scale": {"zero": False}}
    return {
        "data": {"values": curve.melt("epoch", splits, "split", "value").dropna().to_dict("records")},
        "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 12} if len(curve) < 3 else False},
        "encoding": {
            "x": epoch | {"axis": {"grid": False, "tickMinStep": 1}},
            "y": value | {"axis": {"tickCount": 5}},
            "color": {"field": "split", "type": "nominal", "scale": _scale(splits, COLOURS)},
            "strokeDash": {"field": "split", "type": "nominal", "scale": _scale(splits, DASHES)},
        },
    }


def draw_class_bars(per_class: pd.DataFrame) -> Chart:
    """Draw the F1 of each class, the best at the top, with the number of test images behind each.

    Parameters
    ----------
    per_class
        Columns class, precision, recall, f1, support, train_n.
    """
    table = per_class.sort_values(["f1", "support"], ascending=False, kind="stable")
    values = [
        {"row": number, "name": name or "(empty)", "f1": f1, "label": f"{f1:.2f}  (n {support:.0f})"}
        for number, (name, f1, support) in enumerate(zip(table["class"], table["f1"], table["support"], strict=True))
    ]
    # Bars are placed by row number: two names that are equal once shortened stay two bars.
    names = {
        "field": "row",
        "type": "ordinal",
        "title": None,
        "axis": {
            "labelExpr": "names[datum.value]",
            "labelLimit": 120,
            "labelColor": INK,
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
        },
    }
    f1 = {
        "field": "f1",
        "type": "quantitative",
        "title": "F1 on test",
        "scale": {"domain": [0, 1]},
        "axis": {"values": [0, 0.5, 1], "format": ".1f"},
    }
    bars = {
        "mark": {"type": "bar", "color": VAL, "height": 12},
        "encoding": {"y": names, "x": f1},
    }
    labels = {
        "mark": {"type": "text", "align": "left", "dx": 5},
        "encoding": {"y": names, "x": f1, "text": {"field": "label", "type": "nominal"}},
    }
    spec = {
        "width": 150,
        "height": {"step": 24},
        "params": [{"name": "names", "value": [value["name"] for value in values]}],
        "data": {"values": values},
        "layer": [bars, labels],
    }
    best, worst = table.iloc[0], table.iloc[-1]
    summary = f"Best is {best['class']} with {best['f1']:.2f}, last is {worst['class']} with {worst['f1']:.2f}."
    return Chart("F1 per class", summary, draw(spec, f"F1 per class on the test split. {summary}"), table)


def draw_reliability(bins: pd.DataFrame) -> Chart:
    """Draw accuracy against confidence, before and after temperature scaling.

    Calibrated predictions lie on the diagonal.

    Parameters
    ----------
    bins
        Columns scaling (before, after), n, confidence, accuracy; a row for each bin that holds predictions.
    """
    names = {"before": "before scaling", "after": "after scaling"}
    values = bins.assign(stage=bins["scaling"].map(names))[["stage", "confidence", "accuracy", "n"]]
    unit, ticks = {"domain": [0, 1], "nice": False}, {"values": [0, 0.2, 0.4, 0.6, 0.8, 1]}
    axes = {
        "x": {"field": "confidence", "type": "quantitative", "title": "confidence", "scale": unit, "axis": ticks},
        "y": {
            "field": "accuracy",
            "type": "quantitative",
            "title": "share that is right",
            "scale": unit,
            "axis": ticks,
        },
    }
    diagonal = {
        "data": {"values": [{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}]},
        "mark": {"type": "line", "color": MUTED, "strokeDash": [2, 3], "strokeWidth": 1},
        "encoding": axes,
    }
    stage = {"field": "stage", "type": "nominal"}
    line = {"symbolType": "stroke", "symbolSize": 260}
    colour = {"color": stage | {"scale": {"domain": list(names.values()), "range": [TRAIN, VAL]}, "legend": line}}
    dash = {"strokeDash": stage | {"scale": {"domain": list(names.values()), "range": [[4, 3], [1, 0]]}}}
    size = {"size": {"field": "n", "type": "quantitative", "legend": None, "scale": {"range": [12, 160]}}}
    lines = {"mark": {"type": "line", "strokeWidth": 2}, "encoding": axes | colour | dash}
    points = {"mark": {"type": "point", "filled": True, "opacity": 1}, "encoding": axes | colour | size}
    spec = {
        "width": WIDTH_PX,
        "height": 300,
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"values": values.to_dict("records")},
        "layer": [diagonal, lines, points],
    }
    summary = _reliability_summary(bins)
    drawn = draw(spec, f"Accuracy by confidence on the test split. {summary}")
    return Chart("Reliability", summary, drawn, values.reset_index(drop=True))


def _reliability_summary(bins: pd.DataFrame) -> str:
    """Compare mean confidence with accuracy, after scaling."""
    after = bins[bins["scaling"] == "after"]
    if after.empty:
        return "A point per bin of confidence; larger points stand for more images."
    means = [float((after[column] * after["n"]).sum() / after["n"].sum()) for column in ("confidence", "accuracy")]
    word = "above" if means[0] > means[1] else "below"
    points = abs(means[0] - means[1]) * 100
    return (
        f"Mean confidence after scaling is {means[0]:.0%}, {points:.1f} points {word} the share that is right. "
        "Larger points stand for more images."
    )


def draw_odds_ratios(traits: pd.DataFrame) -> Chart:
    """Draw odds ratios with their intervals, on a logarithmic axis, in the order given.

    Parameters
    ----------
    traits
        Columns property, level, odds_ratio, ci_low, ci_high, all ratios above 0.
    """
    values = [
        {
            "row": row,
            "ratio": trait.odds_ratio,
            "low": trait.ci_low,
            "high": trait.ci_high,
            "side": "more" if trait.odds_ratio > 1 else "less",
        }
        for row, trait in enumerate(traits.itertuples())
    ]
    names = [name_trait(trait.property, trait.level) for trait in traits.itertuples()]
    spec = {
        "width": 210,
        "height": {"step": 24},
        "params": [{"name": "names", "value": names}],
        "data": {"values": values},
        "layer": _odds_ratio_layers(_ratio_domain(traits)),
    }
    table = traits[["property", "level", "odds_ratio", "ci_low", "ci_high"]]
    summary = (
        f"Strongest is {names[0]} with {traits.iloc[0]['odds_ratio']:.1f} times the odds. Bars are 95 % intervals; "
        "right of the line, mistakes are more frequent."
    )
    return Chart("Odds of being misclassified", summary, draw(spec, f"Odds ratios per property. {summary}"), table)


def _odds_ratio_layers(domain: list[float]) -> list[dict[str, Any]]:
    """The line of no difference, the intervals, and the ratios."""
    rows = {
        "field": "row",
        "type": "ordinal",
        "title": None,
        "axis": {
            "labelExpr": "names[datum.value]",
            "labelLimit": 205,
            "labelColor": INK,
            "domain": False,
            "ticks": False,
            "labelPadding": 8,
        },
    }
    scale = {"type": "log", "nice": False, "domain": domain}
    ratio = {
        "field": "ratio",
        "type": "quantitative",
        "scale": scale,
        "title": "odds of being misclassified, times",
        "axis": {"values": RATIOS, "format": "~g"},
    }
    colour = {
        "color": {
            "field": "side",
            "type": "nominal",
            "legend": None,
            "scale": {"domain": ["more", "less"], "range": [TRAIN, VAL]},
        }
    }
    return [
        {
            "data": {"values": [{"ratio": 1}]},
            "mark": {"type": "rule", "color": MUTED, "strokeDash": [2, 3]},
            "encoding": {"x": ratio},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"y": rows, "x": ratio | {"field": "low"}, "x2": {"field": "high"}} | colour,
        },
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
            "encoding": {"y": rows, "x": ratio} | colour,
        },
    ]


def name_trait(divided_by: str, level: str) -> str:
    """Name a trait in a few words: without the range of a fifth, with the class that it is within in front.

    >>> name_trait("sharpness", "blurriest fifth (0.87 to 146)")
    'sharpness: blurriest fifth'
    >>> name_trait("sharpness within style", "dots: sharpest fifth (3 to 9)")
    'dots, sharpness: sharpest fifth'
    """
    short = re.sub(r" \((?:below )?\d[^()]*\)$", "", level)
    if " within " not in divided_by:
        return f"{divided_by.replace('_', ' ')}: {short}"
    name, _, part = short.rpartition(": ")
    return f"{name}, {divided_by.partition(' within ')[0].replace('_', ' ')}: {part}"


def _ratio_domain(traits: pd.DataFrame) -> list[float]:
    """The axis' range: all intervals, at least 0.5 to 2 and at most 0.01 to 100."""
    low, high = float(traits["ci_low"].min()), float(traits["ci_high"].max())
    return [max(min(low, 0.5), 0.01), min(max(high, 2.0), 100.0)]


def draw(spec: dict[str, Any], label: str) -> Markup:
    """Draw a Vega-Lite specification as SVG that is safe to embed in a page.

    The SVG is parsed and serialised again, which escapes every text. `label` names it for screen readers.
    """
    drawn = vl_convert.vegalite_to_svg({"background": None, "padding": 4, "config": CONFIG} | spec)
    root = ElementTree.fromstring(drawn)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name in [name for name in element.attrib if name.startswith(("{", "aria", "role", "font-family", "on"))]:
            del element.attrib[name]
    width = root.attrib.pop("width")
    root.attrib.pop("height")
    root.attrib |= {
        "class": "chart-svg",
        "role": "img",
        "aria-label": label,
        "style": f"max-width: {float(width) * 1.3:.0f}px",
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _curve_summary(
    curve: pd.DataFrame, splits: list[str], title: str, best_epoch: int | None, lower_is_better: bool
) -> str:
    if best_epoch is not None and best_epoch in set(curve["epoch"]):
        row = curve[curve["epoch"] == best_epoch].iloc[0]
        values = ", ".join(f"{split} {row[split]:.3f}" for split in splits)
        return f"At the epoch that was kept ({best_epoch}): {values}."
    best = curve[splits].min() if lower_is_better else curve[splits].max()
    return f"Best {title.lower()}: " + ", ".join(f"{split} {best[split]:.3f}" for split in splits) + "."


def _scale(splits: list[str], values: dict[str, Any]) -> dict[str, Any]:
    return {"domain": splits, "range": [values[split] for split in splits]}
