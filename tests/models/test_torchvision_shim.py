import subprocess
import sys

SCRIPT = """
from frameflow.models._torchvision_shim import allow_torchvision
allow_torchvision()
allow_torchvision()
import timm, torch, torchvision
from torchvision.transforms import v2
assert hasattr(torch.ops.torchvision, "nms")
print(v2.functional.resize(torch.zeros(3, 8, 8), [4, 4]).shape[-1])
"""


def test_torchvision_imports_whatever_its_build() -> None:
    """In a fresh interpreter: here it may have been imported already."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "4"
