"""Time feature extraction by thingsvision. `extract.py` runs it in a separate environment: it needs an older torch.

python thingsvision_extract.py IMAGE_FOLDER OUTPUT_FOLDER DEVICE
"""

import sys
import time

from thingsvision import get_extractor
from thingsvision.utils.data import DataLoader, ImageDataset

images, output, device = sys.argv[1:]
extractor = get_extractor(model_name="resnet101", source="torchvision", device=device, pretrained=False)
started = time.perf_counter()
dataset = ImageDataset(
    root=images,
    out_path=output,
    backend=extractor.get_backend(),
    transforms=extractor.get_transformations(resize_dim=256, crop_dim=224),
)
batches = DataLoader(dataset=dataset, batch_size=32, backend=extractor.get_backend())
features = extractor.extract_features(
    batches=batches, module_name="avgpool", flatten_acts=True, output_type="ndarray", output_dir=output, step_size=10**6
)
print(f"rate {len(dataset) / (time.perf_counter() - started)}")
