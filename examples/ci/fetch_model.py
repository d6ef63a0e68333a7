"""Put a trained model and labelled images here; in a repository of yours they lie there already."""

from __future__ import annotations

import shutil

import numpy as np

from onnxprune.demo import MODEL, load_digits

shutil.copy(MODEL, "model.onnx")
images, labels = load_digits()
np.save("images.npy", images)
np.save("labels.npy", labels)
