"""The way of Keras' video classification tutorial, run by `extraction.py` in its own environment.

Every frame is read with OpenCV, its centre square cut out and resized; `predict` of a convnet
then sees the frames one by one, or all frames of a video at once. Weights are random: speed does
not depend on them. https://keras.io/examples/vision/video_classification/
"""

import json
import os
import resource
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cv2  # type: ignore[import-not-found]
import keras  # type: ignore[import-not-found]
import numpy as np
import tensorflow  # type: ignore[import-not-found]


def load_video(path: str, size: int) -> np.ndarray:
    """All frames, ``(N, size, size, 3)`` RGB."""
    capture = cv2.VideoCapture(path)
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            break
        height, width = frame.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        frame = cv2.resize(frame[top : top + side, left : left + side], (size, size))
        frames.append(frame[:, :, [2, 1, 0]])
    capture.release()
    return np.array(frames)


def main() -> None:
    way, length, size, *videos = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]
    network = keras.applications.EfficientNetB0(
        weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3)
    )
    network.predict(np.zeros((1 if way == "frames" else length, size, size, 3)), verbose=0)
    begun, spent = time.perf_counter(), time.process_time()
    features = np.zeros((len(videos), length, network.output_shape[-1]), np.float16)
    for i, video in enumerate(videos):
        frames = load_video(video, size)
        chosen = frames[(np.arange(length) + 0.5).astype(int) * len(frames) // length]
        if way == "frames":
            for t in range(length):
                features[i, t] = network.predict(chosen[None, t], verbose=0)
        else:
            features[i] = network.predict(chosen, verbose=0)
    print(
        json.dumps(
            {
                "frames": len(videos) * length,
                "seconds": time.perf_counter() - begun,
                "spent": time.process_time() - spent,
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
                "versions": f"tensorflow {tensorflow.__version__}, opencv {cv2.__version__}",
            }
        )
    )


if __name__ == "__main__":
    main()
