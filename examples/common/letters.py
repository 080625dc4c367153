"""Draws letters as the handwritten digits are drawn, and writes them into letters.txt: python3 letters.py

The digits (E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, doi:10.24432/C50P49) are bitmaps
of 32 by 32 pixels that the digit fills from top to bottom, whose pixels are counted in blocks of 4 by 4. Here the letters
are those of free fonts, each picture with a font, a thickness of the strokes, a rotation, a slant and a width of its own.
Each line of the file is a letter and its 64 counts, row by row, as digits of base 17: 0 to 9, then a to g for 10 to 16.

Versions: Python 3.11, numpy 2.4.6, Pillow 13.0.0, matplotlib 3.11.2, which ships DejaVu (licence of Bitstream Vera), STIX
(SIL Open Font License 1.1) and the Computer Modern fonts of the BaKoMa collection (free to use and to copy). Roboto
(Apache License 2.0) is in assets/. The pictures are what was drawn with the fonts; no font is part of the file.
"""

import string
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent
SHIPPED = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
# The fonts, with the pixels by which strokes become thicker on both sides, in letters that are 200 pixels high.
FONTS = {
    SHIPPED / "DejaVuSans.ttf": (2, 8),
    SHIPPED / "DejaVuSans-Oblique.ttf": (2, 8),
    SHIPPED / "DejaVuSansMono.ttf": (2, 8),
    SHIPPED / "DejaVuSerif.ttf": (2, 8),
    SHIPPED / "DejaVuSerif-Italic.ttf": (2, 8),
    SHIPPED / "STIXGeneral.ttf": (6, 13),
    SHIPPED / "STIXGeneralItalic.ttf": (6, 13),
    SHIPPED / "STIXGeneralBol.ttf": (1, 8),
    SHIPPED / "cmr10.ttf": (6, 13),
    SHIPPED / "cmti10.ttf": (6, 13),
    SHIPPED / "cmss10.ttf": (5, 11),
    SHIPPED / "cmtt10.ttf": (5, 11),
    HERE.parent.parent / "assets" / "Roboto-Regular-subset.ttf": (1, 8),
}
PICTURES = 20  # of each letter
SIDE, BLOCK = 32, 4
WIDEST = 24  # pixels, as the digits


def drawn(letter, path, stroke, rotation, slant, width):
    """The bitmap of a letter: True is ink."""
    size = 600
    left, top, right, bottom = ImageFont.truetype(path, 200).getbbox(letter)
    font = ImageFont.truetype(path, 200 * 200 / (bottom - top))
    picture = Image.new("L", (size, size))
    at = (size / 2, size / 2)
    ImageDraw.Draw(picture).text(at, letter, 255, font, anchor="mm", stroke_width=stroke)
    # Pillow asks where a pixel of the result comes from: the inverse of rotation · slant · width, about the centre.
    c, s = np.cos(rotation), np.sin(rotation)
    forward = np.array([[c, -s], [s, c]]) @ np.array([[1, slant], [0, 1]]) @ np.diag([width, 1])
    inverse = np.linalg.inv(forward)
    shift = np.array(at) - inverse @ at
    coefficients = (*inverse[0], shift[0], *inverse[1], shift[1])
    picture = picture.transform(picture.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    picture = picture.crop(picture.point(lambda x: 255 * (x > 127)).getbbox())
    across = min(WIDEST, max(3, round(SIDE * picture.width / picture.height)))
    picture = picture.resize((across, SIDE), Image.Resampling.BOX)
    bitmap = np.zeros((SIDE, SIDE), bool)
    left = (SIDE - across) // 2
    bitmap[:, left : left + across] = np.asarray(picture) > 127
    return bitmap


def main():
    rng = np.random.default_rng(16)
    fonts, lines = list(FONTS.items()), []
    for letter in string.ascii_uppercase + string.ascii_lowercase:
        for picture in range(PICTURES):
            path, thicker = fonts[picture % len(fonts)]
            stroke, width = int(rng.integers(*thicker, endpoint=True)), rng.uniform(0.6, 0.9)
            bitmap = drawn(letter, path, stroke, np.radians(rng.normal(0, 5)), rng.normal(0, 0.12), width)
            blocks = bitmap.reshape(SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK).sum((1, 3))
            lines.append(letter + "".join("0123456789abcdefg"[count] for count in blocks.ravel()))
    (HERE / "letters.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
