"""Pictures that are no paintings and belong to no class: codes, charts, test cards, a bare wall.

In: a random generator. Out: an RGB image.
"""

import numpy as np
from PIL import Image, ImageDraw

from stages.demo.painter.shapes import smooth_noise

WORDS = [
    "invoice",
    "total",
    "page",
    "account",
    "please",
    "return",
    "within",
    "thirty",
    "days",
    "the",
    "of",
    "and",
    "item",
    "number",
    "date",
    "customer",
    "order",
]


def _bar_code(rng: np.random.Generator) -> Image.Image:
    widths = rng.integers(1, 5, 90)
    stripes = np.repeat(np.arange(90) % 2 * 255, widths * 2).astype(np.uint8)
    code = Image.fromarray(np.tile(stripes, (240, 1)))
    label = Image.new("RGB", (code.width + 80, 330), "white")
    label.paste(code.convert("RGB"), (40, 30))
    ImageDraw.Draw(label).text((60, 280), " ".join(str(n) for n in rng.integers(0, 10, 13)), fill="black", font_size=28)
    return label


def _page_of_text(rng: np.random.Generator) -> Image.Image:
    page = Image.new("RGB", (520, 700), (250, 250, 248))
    draw = ImageDraw.Draw(page)
    for line in range(36):
        if line % 9 != 8:
            text = " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(5, 10)))
            draw.text((40, 40 + 17 * line), text, fill=(30, 30, 34), font_size=13)
    return page


def _noise_field(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (360, 480, 3), dtype=np.uint8))


def _test_card(rng: np.random.Generator) -> Image.Image:
    bars = [
        (235, 235, 235),
        (235, 235, 16),
        (16, 235, 235),
        (16, 235, 16),
        (235, 16, 235),
        (235, 16, 16),
        (16, 16, 235),
    ]
    order = rng.permutation(7) if rng.random() < 0.5 else np.arange(7)
    card = Image.new("RGB", (560, 420))
    draw = ImageDraw.Draw(card)
    for place, bar in enumerate(order):
        draw.rectangle((80 * place, 0, 80 * place + 79, 300), fill=bars[bar])
        draw.rectangle((80 * place, 301, 80 * place + 79, 420), fill=(36 * place,) * 3)
    return card


def _chessboard(rng: np.random.Generator) -> Image.Image:
    cells = int(rng.integers(6, 13))
    board = (np.indices((cells, cells)).sum(axis=0) % 2 * 215 + 20).astype(np.uint8)
    return Image.fromarray(board).resize((480, 480), Image.Resampling.NEAREST).convert("RGB")


def _spectrum(rng: np.random.Generator) -> Image.Image:
    hue = (np.linspace(0, 255, 600) + rng.uniform(0, 255)) % 256
    hsv = np.stack(np.broadcast_arrays(hue[None, :], 255.0, np.linspace(255, 60, 300)[:, None]), axis=2)
    return Image.fromarray(hsv.astype(np.uint8), mode="HSV").convert("RGB")


def _square_code(rng: np.random.Generator) -> Image.Image:
    modules = rng.integers(0, 2, (29, 29)) * 255
    for row, column in ((0, 0), (0, 22), (22, 0)):
        modules[row : row + 7, column : column + 7] = 0
        modules[row + 1 : row + 6, column + 1 : column + 6] = 255
        modules[row + 2 : row + 5, column + 2 : column + 5] = 0
    framed = np.pad(modules, 3, constant_values=255).astype(np.uint8)
    return Image.fromarray(framed).resize((420, 420), Image.Resampling.NEAREST).convert("RGB")


def _blank_wall(rng: np.random.Generator) -> Image.Image:
    size = (600, 450)
    wall = rng.uniform(150, 225) + 6 * smooth_noise(rng, size, 4) + rng.normal(0, 2.5, (450, 600))
    tint = np.array([1.0, 0.98, 0.94])
    return Image.fromarray(np.clip(wall[..., None] * tint, 0, 255).astype(np.uint8))


def _line_chart(rng: np.random.Generator) -> Image.Image:
    chart = Image.new("RGB", (640, 420), "white")
    draw = ImageDraw.Draw(chart)
    for y in range(40, 380, 40):
        draw.line((60, y, 610, y), fill=(220, 220, 220))
    draw.line((60, 30, 60, 380, 610, 380), fill="black", width=2)
    for colour in ((31, 119, 180), (255, 127, 14), (44, 160, 44)):
        y = np.clip(rng.uniform(120, 300) + np.cumsum(rng.normal(0, 9, 56)), 40, 375)
        draw.line(np.stack([60 + 10 * np.arange(56), y], axis=1).ravel().tolist(), fill=colour, width=3)
    return chart


def _ruler(rng: np.random.Generator) -> Image.Image:
    ruler = Image.new("RGB", (800, 320), (88, 92, 96))
    draw = ImageDraw.Draw(ruler)
    top = int(rng.integers(60, 140))
    draw.rectangle((20, top, 780, top + 110), fill=(232, 208, 120))
    for tick in range(74):
        long = 48 if tick % 10 == 0 else 34 if tick % 5 == 0 else 20
        draw.line((35 + 10 * tick, top, 35 + 10 * tick, top + long), fill="black", width=2)
        if tick % 10 == 0:
            draw.text((30 + 10 * tick, top + 56), str(tick // 10), fill="black", font_size=26)
    return ruler


STRANGERS = {
    "bar_code": _bar_code,
    "page_of_text": _page_of_text,
    "noise_field": _noise_field,
    "test_card": _test_card,
    "chessboard": _chessboard,
    "spectrum": _spectrum,
    "square_code": _square_code,
    "blank_wall": _blank_wall,
    "line_chart": _line_chart,
    "ruler": _ruler,
}
