"""Where the full-size data sets lie in public, and how to know that a file is the right one.

A hash is of the *decompressed* content where distributions pack the same content anew (`content`), else of the file as
its authors publish it (`file`). Fashion-MNIST's were computed from Debian's package. CIFAR-10's stands on its authors'
page, KMNIST's and SVHN's in torchvision; MNIST's are those on which several independent public projects agree.
"""

from dataclasses import dataclass

FASHION_CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
KMNIST_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGIT_CLASSES = tuple("0123456789")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set. digest: "sha256:<hex>" or "md5:<hex>"; of: what it is the hash of, content or file."""

    name: str
    digest: str
    of: str = "file"


@dataclass(frozen=True)
class Source:
    """A data set: its files by split, the format they are in, and addresses that end just before the file's name."""

    files: dict[str, tuple[RemoteFile, ...]]
    format: str
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]


def _idx(train: tuple[str, str], test: tuple[str, str], of: str) -> dict[str, tuple[RemoteFile, ...]]:
    """The four files of MNIST's layout from the hashes of images and labels."""
    names = {"train": "train", "test": "t10k"}
    kinds = ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
    return {
        split: tuple(RemoteFile(f"{names[split]}-{kind}", digest, of) for kind, digest in zip(kinds, digests))
        for split, digests in (("train", train), ("test", test))
    }


CIFAR_ARCHIVE = (RemoteFile("cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530"),)

SOURCES: dict[str, Source] = {
    "fashion_mnist": Source(
        _idx(
            train=(
                "sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            test=(
                "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            of="content",
        ),
        "idx",
        FASHION_CLASSES,
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
    ),
    "mnist": Source(
        _idx(
            train=(
                "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            test=(
                "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            of="content",
        ),
        "idx",
        DIGIT_CLASSES,
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://raw.githubusercontent.com/fgnt/mnist/master/",
        ),
    ),
    "kmnist": Source(
        _idx(
            train=("md5:bdb82020997e1d708af4cf47b453dcf7", "md5:e144d726b3acfaa3e44228e80efcd344"),
            test=("md5:5c965bf0a639b31b8f53240b1b52f4d7", "md5:7320c461ea6c1c855c0b718fb2a4b134"),
            of="file",
        ),
        "idx",
        KMNIST_CLASSES,
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    ),
    "cifar10": Source(
        {"train": CIFAR_ARCHIVE, "test": CIFAR_ARCHIVE},
        "cifar",
        CIFAR_CLASSES,
        (
            "https://www.cs.toronto.edu/~kriz/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        ),
    ),
    "svhn": Source(
        {
            "train": (RemoteFile("train_32x32.mat", "md5:e26dedcc434d2e4c54c9b2d4a06d8373"),),
            "test": (RemoteFile("test_32x32.mat", "md5:eb5a983be6a315427106f1b164d9cef3"),),
        },
        "svhn",
        DIGIT_CLASSES,
        ("http://ufldl.stanford.edu/housenumbers/", "https://ufldl.stanford.edu/housenumbers/"),
    ),
}
