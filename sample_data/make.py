"""Makes the sample images: `python make.py [DIR]` writes them all into DIR, or beside itself."""

import os
import sys
from functools import partial

from PIL import Image

import business
import consoles
import pages
import photos
import small_screens
import windows

ORIENTATION = 0x0112
QUARTER_TURN = 6


def write_png(path, image):
    """Writes an optimised PNG."""
    image.save(path, "PNG", optimize=True)


def write_jpeg(path, image, quality):
    """Writes a JPEG of a given quality."""
    image.save(path, "JPEG", quality=quality, optimize=True)


def write_turned_jpeg(path, image):
    """Writes a JPEG lying on its side, with the EXIF orientation that sets it upright."""
    exif = Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    lying = image.transpose(Image.Transpose.ROTATE_90)
    lying.save(path, "JPEG", quality=82, optimize=True, exif=exif)


def write_webp(path, image):
    """Writes a lossless WebP."""
    image.save(path, "WEBP", lossless=True, quality=90, method=5)


def write_tiff(path, images):
    """Writes black and white pages into one TIFF with fax compression."""
    first, *others = images
    first.save(
        path, "TIFF", save_all=True, append_images=others, compression="group4", dpi=(100, 100)
    )


FILES = {
    "chart.webp": (business.chart, write_webp),
    "dialog.png": (small_screens.dialog, write_png),
    "editor.png": (consoles.editor, write_png),
    "form.png": (pages.form, write_png),
    "invoice.png": (business.invoice, write_png),
    "invoice-q40.jpg": (business.invoice, partial(write_jpeg, quality=40)),
    "invoice-q90.jpg": (business.invoice, partial(write_jpeg, quality=90)),
    "landscape-q90.jpg": (photos.landscape, partial(write_jpeg, quality=90)),
    "mobile.png": (small_screens.mobile_screen, write_png),
    "receipt.png": (business.receipt, write_png),
    "receipt-phone.jpg": (photos.phone_receipt, write_turned_jpeg),
    "scan.tif": (pages.scan, write_tiff),
    "slide.png": (business.slide, write_png),
    "slide-q40.jpg": (business.slide, partial(write_jpeg, quality=40)),
    "table.png": (pages.table, write_png),
    "terminal.png": (consoles.terminal, write_png),
    "text-page.png": (pages.text_page, write_png),
    "two-columns.webp": (pages.two_columns, write_webp),
    "window-dark.png": (windows.dashboard_window, write_png),
    "window-light.png": (windows.mail_window, write_png),
}


def main():
    """Draws every image and writes it into the folder named on the command line."""
    if len(sys.argv) > 2:
        sys.exit("usage: make.py [DIR]")
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) == 2 else here
    os.makedirs(folder, exist_ok=True)
    for name, (draw, write) in FILES.items():
        write(os.path.join(folder, name), draw())


if __name__ == "__main__":
    main()
