"""Sources, image folders and the cache: real loading code on small files in the real formats."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from clbench.data import cache
from clbench.data.known import SOURCES
from clbench.data.sources import DataPlace, find, locate
from clbench.data.status import present, statuses, verify
from clbench.errors import UserError

RNG = np.random.default_rng(0)


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    (tmp_path / "data").mkdir()
    return DataPlace(tmp_path / "data", tmp_path / "cache", offline=True)


def write_idx(folder: Path, n: int = 20) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """MNIST's four files with a few random images."""
    folder.mkdir(parents=True)
    for part, count in (("train", n), ("t10k", n // 2)):
        images = RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes()
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels.tobytes())
        if part == "train":
            kept = images, labels
    return kept


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_files_in_torchvision_layout(name: str, folder: str, place: DataPlace) -> None:
    images, labels = write_idx(place.root / folder / "raw")
    data = cache.load(name, place)
    assert np.array_equal(data.train_samples[:, 0], images)
    assert np.array_equal(data.train_labels, labels)
    assert data.shape == SOURCES[name].shape
    assert data.official is (False if name == "mnist" else None), "these are not the official images"
    assert data.mean[0] == pytest.approx(images.mean() / 255)
    assert data.std[0] == pytest.approx(images.std() / 255)


def write_cifar(root: Path, kind: Any, monkeypatch: pytest.MonkeyPatch, classes: int) -> np.ndarray[Any, Any]:
    """CIFAR's pickled batches with a few images, and torchvision told their md5 sums."""
    folder = root / kind.base_folder
    folder.mkdir()
    first = RNG.integers(0, 256, (classes, 3, 32, 32), dtype=np.uint8)
    sums: dict[str, list[tuple[str, str]]] = {"train_list": [], "test_list": []}
    for group, files in sums.items():
        for name, _ in getattr(kind, group):
            labels = list(range(classes))
            batch: dict[str, Any] = {"data": first.reshape(classes, -1)}
            batch |= (
                {"labels": labels}
                if classes == 10
                else {"fine_labels": labels, "coarse_labels": [c // 5 for c in labels]}
            )
            (folder / name).write_bytes(pickle.dumps(batch))
            files.append((name, hashlib.md5((folder / name).read_bytes()).hexdigest()))
    meta = {kind.meta["key"]: [f"class {c}" for c in range(classes)]}
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps(meta))
    meta_md5 = hashlib.md5((folder / kind.meta["filename"]).read_bytes()).hexdigest()
    for group, files in sums.items():
        monkeypatch.setattr(kind, group, files)
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": meta_md5})
    return first


@pytest.mark.parametrize(
    ("name", "kind", "classes"), [("cifar10", datasets.CIFAR10, 10), ("cifar100", datasets.CIFAR100, 100)]
)
def test_cifar_batches(name: str, kind: Any, classes: int, place: DataPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_cifar(place.root, kind, monkeypatch, classes)
    data = cache.load(name, place)
    assert np.array_equal(data.train_samples[:classes], images)
    assert data.classes[3] == "class 3"
    assert data.official is True
    assert data.coarse == (None if classes == 10 else [c // 5 for c in range(100)])


def test_cifar_that_is_not_the_official_release_is_never_unpickled(place: DataPlace) -> None:
    folder = place.root / "cifar-10-batches-py"
    folder.mkdir()

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (place.root / "exploded",))

    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match=r"damaged or not the official release.*clbench data fetch cifar10"):
        cache.load("cifar10", place)
    assert not (place.root / "exploded").exists()


def write_folder(root: Path, mode: str = "RGB", sizes: tuple[int, ...] = (6,), per_class: int = 3) -> None:
    for part in ("train", "test"):
        for label in ("ant", "bee"):
            (root / part / label).mkdir(parents=True)
            for index in range(per_class):
                size = sizes[index % len(sizes)]
                shape = (size, size, 3) if mode == "RGB" else (size, size)
                image = Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8))
                image.save(root / part / label / f"{index}.png")


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_image_folder(mode: str, channels: int, place: DataPlace) -> None:
    write_folder(place.root / "insects", mode)
    data = cache.load("insects", place)
    assert data.classes == ["ant", "bee"]
    assert data.shape == (channels, 6, 6)
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    pixels = np.asarray(Image.open(place.root / "insects" / "train" / "ant" / "0.png"))
    assert np.array_equal(data.train_samples[0], pixels[None] if mode == "L" else pixels.transpose(2, 0, 1))
    assert data.official is False


def test_image_folder_of_mixed_sizes_needs_a_size(place: DataPlace) -> None:
    write_folder(place.root / "insects", sizes=(6, 9))
    with pytest.raises(UserError, match="image_size"):
        cache.load("insects", place)
    assert cache.load("insects", place, image_size=5).shape == (3, 5, 5)


def test_image_folder_with_a_file_that_is_no_image(place: DataPlace) -> None:
    write_folder(place.root / "insects")
    (place.root / "insects" / "train" / "ant" / "0.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"0\.png cannot be decoded"):
        cache.load("insects", place)
    assert not list(place.cache.glob("[!.]*")), "nothing half-written is left"


def test_image_folder_with_differing_classes(place: DataPlace) -> None:
    write_folder(place.root / "insects")
    (place.root / "insects" / "train" / "wasp").mkdir()
    with pytest.raises(UserError, match="same class folders"):
        cache.load("insects", place)


def test_digits_are_bundled_and_split_by_class(place: DataPlace) -> None:
    data = cache.load("digits", place)
    assert (len(data.train_labels), len(data.test_labels)) == (1442, 355)
    assert data.official is True
    assert min(np.bincount(data.test_labels)) >= 34


def test_resized(place: DataPlace) -> None:
    data = cache.load("digits", place, image_size=16)
    assert data.shape == (1, 16, 16)
    assert data.official is False, "resized images are no longer the release's bytes"


def test_cache_is_memory_mapped_and_kept(place: DataPlace) -> None:
    first = cache.load("digits", place)
    assert isinstance(first.train_samples, np.memmap)
    before = (cache.cache_folder("digits", place) / "meta.json").stat().st_mtime_ns
    assert cache.load("digits", place).fingerprint == first.fingerprint
    assert (cache.cache_folder("digits", place) / "meta.json").stat().st_mtime_ns == before


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", ["flip", "truncate", "no meta", "bad meta", "pickle"])
def test_damaged_cache_is_rebuilt(damage: str, place: DataPlace) -> None:
    good = cache.load("digits", place).fingerprint
    folder = cache.cache_folder("digits", place)
    match damage:
        case "flip":
            flip(folder / "train_labels.npy")
        case "truncate":
            (folder / "train_samples.npy").write_bytes((folder / "train_samples.npy").read_bytes()[:500])
        case "no meta":
            (folder / "meta.json").unlink()
        case "bad meta":
            (folder / "meta.json").write_text("[]")
        case "pickle":
            np.save(folder / "train_labels.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert cache.read(folder) is None
    assert cache.load("digits", place).fingerprint == good
    assert cache.read(folder) is not None
    assert {f.name for f in place.cache.iterdir()} == {folder.name, f".{folder.name}.lock"}, "no scratch folders"


def test_verify_says_what_it_found_and_repairs(place: DataPlace) -> None:
    assert verify("digits", place).sentence.startswith("decoded")
    assert verify("digits", place).sentence.startswith("sound")
    flip(cache.cache_folder("digits", place) / "test_samples.npy")
    verdict = verify("digits", place)
    assert not verdict.sound
    assert "rebuilt" in verdict.sentence
    assert verify("digits", place).sound


def test_changed_source_is_decoded_again(place: DataPlace) -> None:
    write_folder(place.root / "insects")
    old = cache.load("insects", place).fingerprint
    Image.fromarray(np.zeros((6, 6, 3), dtype=np.uint8)).save(place.root / "insects" / "train" / "ant" / "new.png")
    assert cache.load("insects", place).fingerprint != old


def test_missing_data_offline_names_the_ways_out(place: DataPlace) -> None:
    with pytest.raises(UserError, match=r"--data-root.*clbench data fetch kmnist.*digits"):
        locate("kmnist", place)


def test_failed_download_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, "KMNIST", unreachable)
    with pytest.raises(UserError, match=r"no route to host.*Ways out"):
        locate("kmnist", DataPlace(tmp_path, tmp_path / "cache"))


def test_unknown_dataset_offers_the_nearest_name(place: DataPlace) -> None:
    with pytest.raises(UserError, match="Did you mean 'mnist'"):
        locate("mnits", place)


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(UserError, match="CLBENCH_CACHE"):
        cache.load("digits", DataPlace(tmp_path, tmp_path / "cache"))


def test_status_tells_what_is_there(place: DataPlace) -> None:
    write_folder(place.root / "insects")
    assert present(place) == ["digits", "feature-model", "iris", "wine", "breast-cancer", "insects"]
    by_name = {status.name: status for status in statuses(place)}
    assert by_name["mnist"].layout == "–"
    assert by_name["insects"].decoded == "no"
    cache.load("insects", place)
    by_name = {status.name: status for status in statuses(place)}
    assert (by_name["insects"].layout, by_name["insects"].decoded, by_name["insects"].official) == (
        "image folder",
        "yes",
        "no",
    )


@pytest.mark.real_data
def test_real_mnist_is_official_and_real_cifar_is_not(real_data: Path, tmp_path: Path) -> None:
    place = DataPlace(real_data, tmp_path, offline=True)
    mnist = cache.load("mnist", place)
    assert (mnist.official, len(mnist.train_labels), len(mnist.test_labels)) == (True, 60000, 10000)
    raw = (real_data / "MNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes()
    assert mnist.test_samples.tobytes() == raw[16:]
    found = find("cifar10", place)
    assert found is not None
    assert found.layout == "image folder"


def test_meta_is_plain_json(place: DataPlace) -> None:
    cache.load("digits", place)
    meta = json.loads((cache.cache_folder("digits", place) / "meta.json").read_text())
    assert len(meta["fingerprint"]) == 64


def test_gzip_is_not_needed(place: DataPlace) -> None:
    """torchvision keeps .gz files beside the unpacked ones; only the latter are read."""
    write_idx(place.root / "MNIST" / "raw")
    (place.root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"x"))
    assert find("mnist", place) is not None
