"""CT volumes of LIDC-IDRI for MONAI: one for each series, from the folder of its slices.

    python monai_volumes.py LIDC-IDRI-0001 LIDC-IDRI-0002

With --sandbox it rehearses with the stand-in for the archives that comes with medfetch. Needs monai and pydicom. MONAI
reads series by their folder, so the files must be loose; what is kept in archives is placed in a folder by
`medfetch get NAME --to DIR`.
"""

import argparse

from monai.data import DataLoader, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Resized, ScaleIntensityd

import medfetch


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("subjects", nargs="+")
    parser.add_argument("--sandbox", action="store_true")
    arguments = parser.parse_args()

    select = {"subject": arguments.subjects, "modality": "CT"}
    root = medfetch.get("lidc-idri", select=select, sandbox=arguments.sandbox)
    series = sorted({path.parent for subject in arguments.subjects for path in root.glob(f"{subject}/*/*/*.dcm")})
    transform = Compose(
        [
            LoadImaged(keys="image", reader="PydicomReader"),
            EnsureChannelFirstd(keys="image"),
            ScaleIntensityd(keys="image"),
            Resized(keys="image", spatial_size=(64, 64, 32)),
        ]
    )
    volumes = Dataset([{"image": folder} for folder in series], transform)
    for batch in DataLoader(volumes, batch_size=1, num_workers=1):
        print(tuple(batch["image"].shape))


if __name__ == "__main__":
    main()
