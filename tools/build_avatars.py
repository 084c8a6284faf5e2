"""Build the pixel-avatar asset and its held-out split from DiceBear's "Pixel Art" style.

    python tools/build_avatars.py FOLDER_WITH_NODE_MODULES

Draws candidates (tools/build_avatars.mjs), reduces them to one palette, drops avatars whose hair or clothes can't be
seen and repeated images, and writes common/data/assets/avatars.npz (10,000 train, 1,000 test) and
hw1_autoregressive/heldout/avatars.npz (300 others).
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CANDIDATES = 16_000
SPLITS = {"train": 10_000, "test": 1_000, "heldout": 300}
NUM_COLORS = 32
MIN_HAIR = 6  # visible pixels
MIN_CLOTHES = 8
ATTRIBUTES = {  # name -> values, in label order
    "hair_color": ("black", "blond", "red", "pink", "blue", "green"),
    "clothing_color": ("red", "yellow", "green", "blue", "purple"),
    "skin": ("pale", "light", "tan", "dark"),
    "eye_color": ("brown", "blue", "green"),
    "hair_length": ("short", "long"),
    "glasses": ("none", "clear", "dark"),
    "hat": ("no", "yes"),
    "mouth": ("happy", "sad"),
}


def draw(modules: str) -> tuple[np.ndarray, dict, list[dict]]:
    """Candidates as (N, 256, 3) uint8, the named colours, and one attribute record each."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "avatars"
        script = Path(__file__).with_suffix(".mjs")
        subprocess.run(["node", script, modules, str(CANDIDATES), out], check=True)
        pixels = np.fromfile(f"{out}.rgb", np.uint8).reshape(-1, 256, 3)
        described = json.loads(Path(f"{out}.json").read_text())
    return pixels, described["colors"], described["records"]


def rgb(text: str) -> tuple[int, int, int]:
    return tuple(bytes.fromhex(text))


def fixed_colors(colors: dict) -> list[tuple[int, int, int]]:
    """Colours that must survive exactly: the named ones and white. The faces' tints are so common that they win."""
    named = [rgb(value) for table in colors.values() for value in table.values()]
    return list(dict.fromkeys([*named, (255, 255, 255)]))


def perceived(color: np.ndarray) -> np.ndarray:
    """A cheap uniform colour space: luma and two colour differences. (..., 3) -> (..., 3)."""
    red, green, blue = np.moveaxis(color.astype(np.float64), -1, 0)
    luma = 0.3 * red + 0.59 * green + 0.11 * blue
    return np.stack([luma, 0.7 * (red - luma), 0.7 * (blue - luma)], -1)


def build_palette(pixels: np.ndarray, colors: dict) -> np.ndarray:
    """The fixed colours, then further ones chosen greedily to lower the squared error most. (P, 3) uint8."""
    found, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    palette = fixed_colors(colors)
    while len(palette) < NUM_COLORS:
        error = distances(found, np.array(palette)).min(1)
        gains = [counts @ np.maximum(error - distances(found, color[None])[:, 0], 0) for color in found]
        palette.append(tuple(int(channel) for channel in found[int(np.argmax(gains))]))
    return np.array(palette, np.uint8)


def distances(colors: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Squared perceived distance of every colour to every palette entry: (N, P)."""
    return ((perceived(colors)[:, None] - perceived(palette)[None]) ** 2).sum(-1)


def quantise(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Nearest palette entry of each pixel. (N, 256, 3) uint8 -> (N, 256) uint8."""
    found, inverse = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    return distances(found, palette).argmin(1)[inverse].astype(np.uint8).reshape(len(pixels), 256)


def usable(pixels: np.ndarray, tokens: np.ndarray, colors: dict, records: list[dict]) -> np.ndarray:
    """Indices of the avatars that show their hair and clothes, each image once."""
    hair = np.array([rgb(colors["hair_color"][record["hair_color"]]) for record in records], np.uint8)
    clothes = np.array([rgb(colors["clothing_color"][record["clothing_color"]]) for record in records], np.uint8)
    shows_hair = (pixels == hair[:, None]).all(-1).sum(1) >= MIN_HAIR
    shows_clothes = (pixels[:, 192:] == clothes[:, None]).all(-1).sum(1) >= MIN_CLOTHES  # rows 12 to 15
    _, first = np.unique(tokens, axis=0, return_index=True)
    new = np.isin(np.arange(len(tokens)), first)
    return np.flatnonzero(shows_hair & shows_clothes & new)


def main(modules: str) -> None:
    pixels, colors, records = draw(modules)
    palette = build_palette(pixels, colors)
    tokens = quantise(pixels, palette)
    chosen = usable(pixels, tokens, colors, records)
    if len(chosen) < sum(SPLITS.values()):
        sys.exit(f"only {len(chosen)} usable avatars of {CANDIDATES}: raise CANDIDATES")
    labels = {
        name: np.array([values.index(record[name]) for record in records], np.uint8) for name, values in ATTRIBUTES.items()
    }
    asset: dict[str, np.ndarray] = {"palette": palette}
    asset |= {f"values_{name}": np.array(values) for name, values in ATTRIBUTES.items()}
    start = 0
    for split, size in SPLITS.items():
        rows, start = chosen[start : start + size], start + size
        if split == "heldout":
            path = ROOT / "hw1_autoregressive" / "heldout" / "avatars.npz"
            kept = {"tokens": tokens[rows]} | {name: label[rows] for name, label in labels.items()}
            np.savez_compressed(path, **{name: array.astype(np.int64) for name, array in kept.items()})
            continue
        asset[f"{split}_tokens"] = tokens[rows]
        asset |= {f"{split}_{name}": label[rows] for name, label in labels.items()}
    np.savez_compressed(ROOT / "common" / "data" / "assets" / "avatars.npz", **asset)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
