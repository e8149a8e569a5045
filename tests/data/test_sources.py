import json

import pytest

from jaxstage import config as configs
from jaxstage.data.dataset import open_split
from jaxstage.data.sources import open_source
from jaxstage.errors import UserError


def test_a_missing_set_names_the_command_that_prepares_it(tmp_path):
    with pytest.raises(UserError, match=r"'cifar100' is not in .*jaxstage.data.prepare cifar100"):
        open_source("cifar100", str(tmp_path))


@pytest.mark.parametrize(
    "shape, text",
    [([16, 16, 4], "1 or 3 channels"), ([-1, -1, 3], "image_size=None: the images of toy differ in size")],
)
def test_images_that_do_not_fit_are_refused(toy_tfds, tmp_path, shape, text):
    folder = tmp_path / "toy" / "1.0.0"
    folder.mkdir(parents=True)
    for name in ("dataset_info.json", "features.json"):
        (folder / name).write_text((toy_tfds / "toy" / "1.0.0" / name).read_text())
    features = json.loads((folder / "features.json").read_text())
    image = features["featuresDict"]["features"]["image"]["image"]
    image["shape"]["dimensions"] = [str(size) for size in shape]
    (folder / "features.json").write_text(json.dumps(features))
    with pytest.raises(UserError, match=text):
        config = configs.default().data
        config.name, config.dir = "toy", str(tmp_path)
        open_split(config, open_source("toy", str(tmp_path)), "train")
