"""EfficientNet-Lite0 on photo crops: how often its top class is that of the unpruned model.

The photos are those that ship in packages: 20 of ImageNet in foolbox, and sample photos of image
processing libraries. Every second photo is for calibration, the others are for the test.
"""

from __future__ import annotations

import io
from functools import cached_property

import numpy as np
from PIL import Image

from tasks.base import Array, Feed, Run, Task, partial, runner
from tasks.packages import read_package

TEST_CROPS = 200
SIZE = 224

# Source, package, prefix inside it, and names below the prefix; one photo of every scene.
PHOTOS = (
    ("pip", "foolbox==3.3.4", "foolbox/data/imagenet_", None),
    (
        "pip",
        "scikit-image==0.24.0",
        "skimage/data/",
        "astronaut.png chelsea.png coffee.png motorcycle_left.png rocket.jpg",
    ),
    ("pip", "scikit-learn==1.5.2", "sklearn/datasets/images/", "china.jpg flower.jpg"),
    ("pip", "imgaug==0.4.0", "imgaug/", "quokka.jpg"),
    ("pip", "ultralytics==8.3.0", "ultralytics/assets/", "bus.jpg zidane.jpg"),
    ("pip", "matplotlib==3.9.2", "matplotlib/mpl-data/sample_data/", "grace_hopper.jpg"),
    (
        "apt",
        "opencv-doc",
        "usr/share/doc/opencv-doc/examples/",
        (
            "data/aero1.jpg data/aloeL.jpg data/apple.jpg data/baboon.jpg data/board.jpg "
            "data/building.jpg data/butterfly.jpg data/chicky_512.png data/fruits.jpg "
            "data/graf1.png data/home.jpg data/leuvenA.jpg data/messi5.jpg data/orange.jpg "
            "data/rubberwhale1.png data/squirrel_cls.jpg data/licenseplate_motion.jpg "
            "alphamat/input_images/plant.jpg hfs/data/000.jpg hfs/data/001.jpg hfs/data/002.jpg "
            "text/scenetext01.jpg text/scenetext03.jpg text/scenetext04.jpg text/scenetext05.jpg "
            "text/scenetext06.jpg"
        ),
    ),
    (
        "apt",
        "opencv-doc",
        "usr/share/doc/opencv-doc/opencv4/html/",
        (
            "space_shuttle.jpg pexels_double_decker_bus.jpg corridor_fld.jpg astra_color.jpg "
            "Background_Subtraction_Tutorial_frame.jpg Remap_Tutorial_Original_Image.jpg "
            "Laplace_Operator_Tutorial_Original_Image.jpg realsense.jpg fusion_mertens.jpg "
            "Histogram_Calculation_Original_Image.jpg 227943776_1.jpg 230501201_1.jpg "
            "snapshot27.jpg detect_test1.jpg"
        ),
    ),
)


class EffNet(Task):
    """The network that `benchmarks/convert_models.py` exports."""

    name = "efficientnet-lite0"
    metric_name = "top-1 agreement with the unpruned model"
    model_file = "effnet_lite0.onnx"
    targets = ("remove_macs=0.05", "remove_macs=0.1", "remove_macs=0.2", "remove_macs=0.3")

    def calibration(self, n: int, seed: int = 0) -> list[Feed]:
        """Take crops of the calibration photos."""
        generator = np.random.default_rng([1, seed])
        return [{"image": c} for c in _crops(self._photos[0::2], n, generator)]

    def measure(self, run: Run) -> float:
        """Return how often both models name the same class on crops of the test photos."""
        seen = [int(run(feed)[0].argmax()) for feed in self._test]
        return float(np.mean(np.array(seen) == self._wanted))

    @cached_property
    def _test(self) -> list[Feed]:
        generator = np.random.default_rng([2, 0])
        return [{"image": c} for c in _crops(self._photos[1::2], TEST_CROPS, generator)]

    @cached_property
    def _wanted(self) -> Array:
        run = runner(self.model_path)
        return np.array([int(run(feed)[0].argmax()) for feed in self._test])

    @cached_property
    def _photos(self) -> list[Array]:
        """Return all photos, those of one package beside each other; the first 20 are ImageNet."""
        path = self.cache / "photos.npz"
        if not path.is_file():
            photos = {}
            for source, package, prefix, names in PHOTOS:
                wanted = {prefix + name for name in (names or "").split()}
                found = {
                    member: np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                    for member, data in read_package(source, package, self.cache)
                    if member in wanted or (names is None and member.startswith(prefix))
                }
                if wanted - set(found):
                    msg = f"{package} lacks {sorted(wanted - set(found))}"
                    raise FileNotFoundError(msg)
                photos.update({f"{package}:{member}": found[member] for member in sorted(found)})
            np.savez(partial(path), **photos)
            partial(path).replace(path)
        with np.load(path) as arrays:
            return [arrays[name] for name in arrays.files]


def _crops(photos: list[Array], n: int, generator: np.random.Generator) -> list[Array]:
    """Cut squares of half to all of the shorter side, in turn from every photo."""
    crops = []
    for number in range(n):
        photo = photos[number % len(photos)]
        height, width = photo.shape[:2]
        side = int(min(height, width) * generator.uniform(0.5, 1))
        top, left = (int(generator.integers(extent - side + 1)) for extent in (height, width))
        image = Image.fromarray(photo[top : top + side, left : left + side])
        image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        pixels = np.asarray(image, np.float32)
        if generator.random() < 0.5:
            pixels = pixels[:, ::-1]
        crops.append(np.ascontiguousarray((pixels.transpose(2, 0, 1)[None] - 127) / 128))
    return crops
