"""What README.md says in Python, with the installed package alone: searches or continues in a directory, and predicts.

    python .ci/wheel.py WORKDIR

Writes three.png, a handwritten digit, into the current directory.
"""

import pathlib
import sys

import numpy as np
import PIL.Image
from sklearn.datasets import load_digits

import jaxstage

result = jaxstage.search(jaxstage.config.load("digits"), sys.argv[1])
digits = load_digits()
pixels = np.rint(digits.images[3] * (255 / 16)).astype(np.uint8)
PIL.Image.fromarray(pixels).save("three.png")

(of_pixels,) = jaxstage.predict(jaxstage.load(result.workdir), pixels)
(of_file,) = jaxstage.predict(result.workdir, ["three.png"])
assert of_pixels == of_file and of_file.label == str(digits.target[3]), (of_pixels, of_file)
installed = pathlib.Path(jaxstage.__file__).parent
assert "site-packages" in installed.parts and (installed / "py.typed").exists() and (installed / "configs").is_dir()
print(f"depths {result.depths}, test accuracy {result.test_accuracy:.4f}, three.png is {of_file.label}")
