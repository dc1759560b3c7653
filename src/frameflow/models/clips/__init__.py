"""Video models: backbones that look at all frames of a clip at once.

C3D is made here, from scratch; the others are torchvision's and those of Hugging Face's
transformers (an extra). Each takes the weights its authors published, in their own format.
"""

from frameflow.models.clips.backbone import (
    ClipBackbone,
    build_clip_backbone,
    clip_model_names,
    is_clip_model,
    restore,
)

__all__ = [
    "ClipBackbone",
    "build_clip_backbone",
    "clip_model_names",
    "is_clip_model",
    "restore",
]
