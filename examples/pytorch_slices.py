"""CT slices of LIDC-IDRI as a PyTorch dataset, out of the cache, as loose files or in archives (`--pack`).

    python pytorch_slices.py LIDC-IDRI-0001 LIDC-IDRI-0002

With --sandbox it rehearses with the stand-in for the archives that comes with medfetch. Needs torch, pydicom and
medfetch[fsspec].
"""

import argparse

import fsspec
import pydicom
import torch
from torch.utils.data import DataLoader, Dataset

import medfetch


class Slices(Dataset):
    """All slices of a dataset in the cache. It is copied to the loader's workers, which open files on their own."""

    def __init__(self, name, root, pattern="*/*/*/*.dcm", **settings):
        self.root = root
        listed = fsspec.filesystem("medfetch", **settings).glob(f"{name}/{pattern}")
        self.paths = [path.partition("/")[2] for path in listed]

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        # By the folder, not by the name: that need not be looked up for each slice.
        with medfetch.open(self.root, self.paths[number]) as file:
            pixels = pydicom.dcmread(file).pixel_array
        return torch.from_numpy(pixels.astype("float32"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("subjects", nargs="+")
    parser.add_argument("--sandbox", action="store_true")
    parser.add_argument("--pack", choices=["zip", "tar"])
    arguments = parser.parse_args()

    select = {"subject": arguments.subjects, "modality": "CT"}
    root = medfetch.get("lidc-idri", select=select, sandbox=arguments.sandbox, pack=arguments.pack)
    slices = Slices("lidc-idri", root, sandbox=arguments.sandbox)
    loader = DataLoader(slices, batch_size=16, num_workers=2)
    seen = sum(len(batch) for batch in loader)
    print(f"{seen} slices of {tuple(slices[0].shape)}")


if __name__ == "__main__":
    main()
