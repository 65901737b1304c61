"""The published data sets: where they lie, under which terms, and by which digest they are known.

An address stands here only with a size and a digest that others have published. Of a set without, there is the page of
its publisher, and why it can't be fetched. Names are those of the configurations.
"""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from rich.filesize import decimal

from blockyard.publishers.digests import Digest, wrong_archive


class Archive(NamedTuple):
    """A file that a set is published as.

    Attributes:
        address: Where it lies.
        size: Bytes.
        digest: By which it is known.
        makes: What it becomes below the folder of the data: a folder, or the file itself where it is no archive.
        holds: Folder in the archive that becomes ``makes``; empty for all that is in it.
    """

    address: str
    size: int
    digest: Digest
    makes: str
    holds: str = ""

    @property
    def name(self) -> str:
        """File name."""
        return PurePosixPath(unquote(urlsplit(self.address).path)).name

    @property
    def is_packed(self) -> bool:
        """Whether it is an archive, and not a file as it is."""
        return self.name.endswith((".tar", ".tar.gz", ".tgz", ".zip"))


class Published(NamedTuple):
    """A set as its publisher has it.

    Attributes:
        title: Its name in print.
        page: The publisher's.
        terms: What may be done with it, as the publisher says.
        archives: What it is fetched as; nothing if it can't be.
        why_not: Why it can't be fetched.
    """

    title: str
    page: str
    terms: str = ""
    archives: tuple[Archive, ...] = ()
    why_not: str = ""

    @property
    def size(self) -> int:
        """Bytes of all archives."""
        return sum(archive.size for archive in self.archives)


_CIFAR = "https://www.cs.toronto.edu/~kriz/cifar.html"
_NEW_CIFAR = "https://raw.githubusercontent.com/modestyachts/CIFAR-10.1/master/datasets"
_TENSORFLOW = "https://storage.googleapis.com/download.tensorflow.org/data"
_ROBUSTNESS = "https://github.com/hendrycks/robustness"
_ASK, _NO_DIGEST = "its publisher wants to be asked first", "no address with a checksum is known"

SETS = {
    # Address and md5: torchvision 0.28, datasets/cifar.py. Size: what Keras and torchvision print as they fetch it.
    "cifar10": Published(
        "CIFAR-10",
        _CIFAR,
        "no licence stated; cite Krizhevsky, 2009",
        (
            Archive(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                170_498_071,
                ("md5", "c58f30108f718f92721af3b95e74349a"),
                *("cifar-10-batches-py", "cifar-10-batches-py"),
            ),
        ),
    ),
    # As CIFAR-10.
    "cifar100": Published(
        "CIFAR-100",
        _CIFAR,
        "no licence stated; cite Krizhevsky, 2009",
        (
            Archive(
                "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                169_001_437,
                ("md5", "eb9058c3a382ffc7106e4002c42a8d85"),
                *("cifar-100-python", "cifar-100-python"),
            ),
        ),
    ),
    # Size and sha256: tensorflow/datasets, url_checksums/cifar10_1.txt.
    "cifar10_1": Published(
        "CIFAR-10.1",
        "https://github.com/modestyachts/CIFAR-10.1",
        "no licence stated for the pictures; cite Recht et al., 2018, and Torralba et al., 2008",
        tuple(
            Archive(f"{_NEW_CIFAR}/{name}", size, ("sha256", digest), f"CIFAR-10.1/{name}")
            for name, size, digest in (
                (
                    "cifar10.1_v4_data.npy",
                    6_208_640,
                    "5aaedc268df8f4cffca2ac0cf9e608ae1897a8cddb630c7a850a2ea8f6558e75",
                ),
                ("cifar10.1_v4_labels.npy", 8_212, "1f9544300ded199539b6662364ce7fe6c2e1ea9f87408f06db4b1a6184cffb18"),
                (
                    "cifar10.1_v6_data.npy",
                    6_144_128,
                    "2997188e5816f5bd545dc77771b6227828c28146049fcecf3fa10775474cacc6",
                ),
                ("cifar10.1_v6_labels.npy", 8_128, "ae40beda001693674edc94d925ee8268cfe68905f8f9aff800c8dcdfcd6c9448"),
            )
        ),
    ),
    # Size and sha256: tensorflow/datasets, url_checksums/cifar10_corrupted.txt.
    "cifar10_c": Published(
        "CIFAR-10-C",
        _ROBUSTNESS,
        "CC BY 4.0",
        (
            Archive(
                "https://zenodo.org/records/2535967/files/CIFAR-10-C.tar",
                2_918_471_680,
                ("sha256", "c72763e101c723b7c507b96205f7e938912a5d587376173b825850cf3cb876a7"),
                *("CIFAR-10-C", "CIFAR-10-C"),
            ),
        ),
    ),
    # Size and sha256: tensorflow/datasets, url_checksums/cifar100_corrupted.txt.
    "cifar100_c": Published(
        "CIFAR-100-C",
        _ROBUSTNESS,
        "CC BY 4.0",
        (
            Archive(
                "https://zenodo.org/records/3555552/files/CIFAR-100-C.tar",
                2_918_473_216,
                ("sha256", "30ee6543a1bfd049fa33834b7c1ada301e7064b7fbe8fc38340eb8b62ced4b33"),
                *("CIFAR-100-C", "CIFAR-100-C"),
            ),
        ),
    ),
    # Address: pytorch-metric-learning 2.9, datasets/cub.py. Size: tensorflow/datasets, url_checksums/
    # caltech_birds2011.txt. md5: CaltechDATA's record 65de6-vp158, as in TDeVries/cub2011_dataset.
    "cub200": Published(
        "CUB-200-2011",
        "https://www.vision.caltech.edu/datasets/cub_200_2011/",
        "no licence stated; the pictures belong to their authors; cite Wah et al., 2011",
        (
            Archive(
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                1_150_585_339,
                ("md5", "97eceeb196236b17998738112f37df78"),
                *("CUB_200_2011", "CUB_200_2011"),
            ),
        ),
    ),
    # Size and sha256: tensorflow/datasets, url_checksums/speech_commands.txt; the latter in torchaudio 2.11 too.
    "speech_commands": Published(
        "Speech Commands v2",
        "https://arxiv.org/abs/1804.03209",
        "CC BY 4.0",
        (
            Archive(
                f"{_TENSORFLOW}/speech_commands_v0.02.tar.gz",
                2_428_923_189,
                ("sha256", "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"),
                "speech_commands_v0.02",
            ),
        ),
    ),
    "speech_commands_test": Published(
        "Speech Commands v2, test set of the 12 classes",
        "https://arxiv.org/abs/1804.03209",
        "CC BY 4.0",
        (
            Archive(
                f"{_TENSORFLOW}/speech_commands_test_set_v0.02.tar.gz",
                112_563_277,
                ("sha256", "cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df"),
                "speech_commands_test_set_v0.02",
            ),
        ),
    ),
    # md5: Zenodo's record 1203745, as in soundata, datasets/urbansound8k.py. Size: what Zenodo serves.
    "urbansound8k": Published(
        "UrbanSound8K",
        "https://urbansounddataset.weebly.com/urbansound8k.html",
        "CC BY-NC",
        (
            Archive(
                "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz",
                6_023_741_708,
                ("md5", "9aa69802bbf37fb986f71ec1483a196e"),
                *("UrbanSound8K", "UrbanSound8K"),
            ),
        ),
    ),
    # Address and md5: torchvision 0.28, datasets/voc.py. Size: tensorflow/datasets, url_checksums/voc.txt.
    "pascal_voc": Published(
        "Pascal VOC 2012",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        "Flickr's terms of use, of the pictures",
        (
            Archive(
                "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                1_999_639_040,
                ("md5", "6cd6e144f989b92b3379bac3b3de84fd"),
                *("VOCdevkit/VOC2012", "VOCdevkit/VOC2012"),
            ),
        ),
    ),
    # Address and md5: torchvision 0.28, datasets/sbd.py. Size: what torchvision prints as it fetches it.
    "sbd": Published(
        "Semantic Boundaries Dataset, for the list trainaug of Pascal VOC",
        "http://home.bharathh.info/pubs/codes/SBD/download.html",
        "no licence stated; cite Hariharan et al., 2011",
        (
            Archive(
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
                1_419_539_633,
                ("md5", "82b4d87ceb2ed10f6038a1cba92111cb"),
                *("benchmark_RELEASE", "benchmark_RELEASE"),
            ),
        ),
    ),
    # Address, size and sha256: tensorflow/datasets, url_checksums/ucf101.txt. The videos it has are not in folders.
    "ucf101_lists": Published(
        "UCF-101, lists of the splits",
        "https://www.crcv.ucf.edu/data/UCF101.php",
        "no licence stated; cite Soomro et al., 2012",
        (
            Archive(
                "https://www.crcv.ucf.edu/data/UCF101/UCF101TrainTestSplits-RecognitionTask.zip",
                113_943,
                ("sha256", "5c0d1a53b8ed364a2ac830a73f405e51bece7d98ce1254fd19ed4a36b224bd27"),
                *("ucfTrainTestlist", "ucfTrainTestlist"),
            ),
        ),
    ),
    "ucf101": Published(
        "UCF-101",
        "https://www.crcv.ucf.edu/data/UCF101.php",
        why_not="its videos come as RAR, of which no checksum is known; its lists are ucf101_lists",
    ),
    # torchvision 0.28 has an md5 of its lists, but no source their size, and the standard library reads no RAR.
    "hmdb51": Published(
        "HMDB-51",
        "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/",
        why_not="it comes as RAR, which takes a program of its own",
    ),
    # soundata and others know two md5s of GitHub's archive of the same branch, and no source its size.
    "esc50": Published(
        "ESC-50",
        "https://github.com/karolpiczak/ESC-50",
        why_not="its archive is made anew on demand, so that no checksum holds",
    ),
    "imagenet": Published("ImageNet-1k", "https://image-net.org", why_not=_ASK),
    "cityscapes": Published("Cityscapes", "https://www.cityscapes-dataset.com", why_not=_ASK),
    "ade20k": Published("ADE20K", "http://sceneparsing.csail.mit.edu", why_not=_NO_DIGEST),
    "market1501": Published(
        "Market-1501", "https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html", why_not=_NO_DIGEST
    ),
    "mars": Published("MARS", "https://zheng-lab.cecs.anu.edu.au/Project/project_mars.html", why_not=_NO_DIGEST),
    "msmt17": Published("MSMT17", "http://www.pkuvmc.com/publications/msmt17.html", why_not=_ASK),
    "ilids_vid": Published(
        "iLIDS-VID",
        "https://xiatian-zhu.github.io/downloads_qmul_iLIDS-VID_ReID_dataset.html",
        why_not=_NO_DIGEST,
    ),
    "prid2011": Published("PRID-2011", "https://www.tugraz.at/index.php?id=17766", why_not=_NO_DIGEST),
}
"""The sets by name; sizes and digests are from the source that the comment names, not measured here. Of the terms, the
publisher's page is what counts."""


def command(name: str, root: Path) -> str:
    """The command line that fetches a set."""
    return f"blockyard fetch {name} --root {shlex.quote(str(root))}"


def how_to_get(name: str, root: Path) -> str:
    """What a message says of a set that is not there: the command, or what to do by hand; one line.

    Args:
        name: Of a set that can be fetched.
        root: Folder of the data.
    """
    published = SETS[name]
    first = published.archives[0]
    if wrong := wrong_archive(root / first.name, first.digest):
        return wrong
    if (root / first.name).is_file():
        return f"unpack the archive beside it with: {command(name, root)}"
    if first.is_packed:
        by_hand = f"{first.name} from {published.page}, unpacked in {root if first.holds else root / first.makes}"
    else:
        by_hand = f"its files from {published.page}, in {(root / first.makes).parent}"
    return f"get it with: {command(name, root)} ({decimal(published.size)}); or {by_hand}"
