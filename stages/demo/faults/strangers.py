"""Pictures that are no paintings and belong to no class: codes, charts, test cards, a bare wall.

In: a random generator. Out: an RGB image.
"""

import numpy as np
from PIL import Image, ImageDraw

from stages.demo.painter.outlines import smooth_noise

WORDS = "invoice total page account please return within thirty days the of and item number date customer order"
# The bars of a television test card: every mixture of full and no red, green and blue but black.
BARS = np.array([(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)]) * 219 + 16


def _bar_code(rng: np.random.Generator) -> Image.Image:
    stripes = np.repeat(np.arange(90) % 2 * 255, rng.integers(1, 5, 90) * 2).astype(np.uint8)
    label = Image.new("RGB", (len(stripes) + 80, 330), "white")
    label.paste(Image.fromarray(np.tile(stripes, (240, 1))), (40, 30))
    ImageDraw.Draw(label).text((60, 280), " ".join(map(str, rng.integers(0, 10, 13))), fill="black", font_size=28)
    return label


def _page_of_text(rng: np.random.Generator) -> Image.Image:
    page = Image.new("RGB", (520, 700), (250, 250, 248))
    for line in range(36):
        if line % 9 != 8:
            text = " ".join(rng.choice(WORDS.split(), rng.integers(5, 10)))
            ImageDraw.Draw(page).text((40, 40 + 17 * line), text, fill=(30, 30, 34), font_size=13)
    return page


def _noise_field(rng: np.random.Generator) -> Image.Image:
    return _enlarged(rng.integers(0, 256, (90, 90, 3)))


def _test_card(rng: np.random.Generator) -> Image.Image:
    greys = np.repeat(np.arange(7) * 36, 3).reshape(1, 7, 3)
    rows = [rng.permutation(BARS)[None]] * 5 + [greys] * 2
    return _enlarged(np.concatenate(rows))


def _chessboard(rng: np.random.Generator) -> Image.Image:
    cells = int(rng.integers(6, 13))
    return _enlarged(np.indices((cells, cells)).sum(axis=0) % 2 * 215 + 20)


def _square_code(rng: np.random.Generator) -> Image.Image:
    modules = rng.integers(0, 2, (29, 29)) * 255
    for row, column in ((0, 0), (0, 22), (22, 0)):
        for inset, tone in ((0, 0), (1, 255), (2, 0)):
            modules[row + inset : row + 7 - inset, column + inset : column + 7 - inset] = tone
    return _enlarged(np.pad(modules, 3, constant_values=255))


def _enlarged(tones: np.ndarray) -> Image.Image:
    """Few large pixels, grey or coloured."""
    return Image.fromarray(tones.astype(np.uint8)).resize((450, 450), Image.Resampling.NEAREST).convert("RGB")


def _spectrum(rng: np.random.Generator) -> Image.Image:
    hue = (np.linspace(0, 255, 600) + rng.uniform(0, 255)) % 256
    hsv = np.stack(np.broadcast_arrays(hue[None, :], 255.0, np.linspace(255, 60, 300)[:, None]), axis=2)
    return Image.fromarray(hsv.astype(np.uint8), mode="HSV").convert("RGB")


def _blank_wall(rng: np.random.Generator) -> Image.Image:
    """Overexposed: hardly any texture is left."""
    wall = rng.uniform(247, 253) + 3 * smooth_noise(rng, (600, 450), 4)
    return Image.fromarray(np.clip(wall, 0, 255).astype(np.uint8)).convert("RGB")


def _line_chart(rng: np.random.Generator) -> Image.Image:
    chart = Image.new("RGB", (640, 420), "black")
    draw = ImageDraw.Draw(chart)
    for y in range(40, 380, 40):
        draw.line((60, y, 610, y), fill=(90, 90, 90))
    draw.line((60, 30, 60, 380, 610, 380), fill="white", width=2)
    for colour in ("cyan", "magenta", "yellow"):
        curve = np.clip(rng.uniform(120, 300) + np.cumsum(rng.normal(0, 9, 56)), 40, 375)
        draw.line(np.stack([60 + 10 * np.arange(56), curve], axis=1).ravel().tolist(), fill=colour, width=3)
    return chart


def _ruler(rng: np.random.Generator) -> Image.Image:
    ruler, top = Image.new("RGB", (800, 320), (88, 92, 96)), int(rng.integers(60, 140))
    draw = ImageDraw.Draw(ruler)
    draw.rectangle((20, top, 780, top + 110), fill=(232, 208, 120))
    for tick in range(74):
        x, long = 35 + 10 * tick, (48, 20, 20, 20, 20, 34, 20, 20, 20, 20)[tick % 10]
        draw.line((x, top, x, top + long), fill="black", width=2)
        if tick % 10 == 0:
            draw.text((x - 5, top + 56), str(tick // 10), fill="black", font_size=26)
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
