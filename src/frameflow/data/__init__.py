"""Tables of samples: manifests, the ways to get one, and splits. No pixels are read here."""

from frameflow.data.labels import check_label_sets, join_labels, label_matrix, select_classes
from frameflow.data.manifest import SPLITS, Manifest, ManifestError, Region, Sample
from frameflow.data.scan import Scan, scan_folder
from frameflow.data.splits import (
    Leak,
    add_folds,
    check_leaks,
    cut_validation,
    random_clip_folds,
    refuse_leaks,
    split_manifest,
    use_fold,
)
from frameflow.data.ucf101 import import_ucf101

__all__ = [
    "SPLITS",
    "Leak",
    "Manifest",
    "ManifestError",
    "Region",
    "Sample",
    "Scan",
    "add_folds",
    "check_label_sets",
    "check_leaks",
    "cut_validation",
    "import_ucf101",
    "join_labels",
    "label_matrix",
    "random_clip_folds",
    "refuse_leaks",
    "scan_folder",
    "select_classes",
    "split_manifest",
    "use_fold",
]
