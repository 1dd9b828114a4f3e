"""Extract features as tutorials show: worker processes decode, the network runs in fp32, HDF5 stores a row per image.

`extract.py` runs it in a separate process, so that the pipeline's settings of its process do not affect it.

    python usual_extract.py IMAGE_FOLDER OUTPUT_FILE DEVICE COUNT
"""

import os
import sys
import time
from pathlib import Path

import h5py
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2


class UsualDataset(torch.utils.data.Dataset):
    """A Dataset that opens and transforms each image on request."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.transform = v2.Compose(
            [v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True),
             v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def extract(paths: list[Path], output: Path, device: str) -> None:
    """Write the pooled features of all images."""
    network = torchvision.models.resnet101(weights=None)
    network.fc = torch.nn.Identity()
    network.eval().to(device)
    loader = torch.utils.data.DataLoader(UsualDataset(paths), batch_size=32, num_workers=min(os.cpu_count(), 8))
    with h5py.File(output, "w") as file, torch.no_grad():
        dataset = file.create_dataset("features", (len(paths), 2048), chunks=(1, 2048))
        row = 0
        for batch in loader:
            for feature in network(batch.to(device)).cpu().numpy():
                dataset[row] = feature
                row += 1


if __name__ == "__main__":
    images, output, device, count = sys.argv[1:]
    paths = sorted(Path(images).iterdir())[: int(count)]
    started = time.perf_counter()
    extract(paths, Path(output), device)
    print(f"rate {len(paths) / (time.perf_counter() - started)}")
