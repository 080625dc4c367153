"""Cuts Roboto down to the characters that a chart needs: python3 subset.py FOLDER_WITH_ROBOTO_TTF."""

import pathlib
import sys

from fontTools import subset
from fontTools.ttLib import TTFont

CHARACTERS = [
    *range(0x20, 0x7F),  # ASCII
    *range(0xA1, 0x100),  # Latin-1, with ± × ² ³ · µ
    *range(0x3B1, 0x3CA),  # Greek, lower case
    *map(ord, "ΔΣΩ–—‘’“”…‰−≈≠≤≥∞√"),
]

folder = pathlib.Path(sys.argv[1])
for weight in ["Regular", "Medium"]:
    options = subset.Options(hinting=False, layout_features=[], notdef_outline=True)
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "kern"]
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    font = TTFont(folder / f"Roboto-{weight}.ttf", recalcTimestamp=False)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=CHARACTERS)
    subsetter.subset(font)
    for record in font["name"].names:
        if record.nameID == 5:  # the licence asks that changed files say so
            record.string = f"{record}; cut down to a subset for candle-ensemble"
    font.save(pathlib.Path(__file__).parent / f"Roboto-{weight}-subset.ttf")
