"""A user's own data on disk: image folders of every layout, Hugging Face folders, images and vectors in tables."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import feather, parquet
from typer.testing import CliRunner

from clbench.cli import app
from clbench.config import resolve
from clbench.data import arrow, cache
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace, is_vectors
from clbench.data.status import present, statuses, verify
from clbench.engine.run import Machine, run
from clbench.errors import Remark, UserError

RNG = np.random.default_rng(0)
CLASSES = ("ant", "bee", "cat", "dog")


def images_of(mode: str, count: int) -> dict[str, list[np.ndarray[Any, Any]]]:
    shape = (8, 8, 3) if mode == "RGB" else (8, 8)
    return {label: [RNG.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)] for label in CLASSES}


def write_classes(folder: Path, images: dict[str, list[np.ndarray[Any, Any]]]) -> None:
    for label, arrays in images.items():
        (folder / label).mkdir(parents=True)
        for index, array in enumerate(arrays):
            Image.fromarray(array).save(folder / label / f"{index}.png")


def png(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    (tmp_path / "data" / "tables").mkdir(parents=True)
    return DataPlace(tmp_path / "data", tmp_path / "cache", offline=True)


def load(file: Path, image_size: int | None = None, **said: Any) -> Dataset:
    place = DataPlace(file.parent, file.parent / "cache", offline=True)
    return cache.load("mine", place, image_size, said=said | {"path": str(file)})


def write_saved(folder: Path, table: pa.Table, features: dict[str, Any] | None = None, files: int = 2) -> None:
    """Write a table as Hugging Face's ``save_to_disk`` does."""
    folder.mkdir(parents=True)
    names = [f"data-{index:05d}-of-{files:05d}.arrow" for index in range(files)]
    step = -(-len(table) // files)
    for index, name in enumerate(names):
        part = table.slice(index * step, step)
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(part, max_chunksize=7)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features or {}}))


LABEL = {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_set_is_the_same_whatever_it_is_given_as(mode: str, place: DataPlace) -> None:
    parts = {"train": images_of(mode, 8), "test": images_of(mode, 2)}
    for part, images in parts.items():
        write_classes(place.root / "folder" / part, images)
    flat = [
        (part, place, array)
        for part, images in parts.items()
        for place, arrays in enumerate(images.values())
        for array in arrays
    ]
    x = {part: np.stack([array for one, _, array in flat if one == part]) for part in parts}
    y = {part: np.array([label for one, label, _ in flat if one == part]) for part in parts}
    np.savez(place.root / "npz.npz", x_train=x["train"], y_train=y["train"], x_test=x["test"], y_test=y["test"])
    cells = [{"bytes": png(array), "path": None} for _, _, array in flat]
    labels = [label for _, label, _ in flat]
    columns = {"split": [part for part, _, _ in flat], "label": labels}
    parquet.write_table(pa.table({"image": cells, **columns}), place.root / "parquet.parquet", row_group_size=11)
    feather.write_feather(
        pa.table({"png": [one["bytes"] for one in cells], **columns}), str(place.root / "tables" / "feather.feather")
    )
    for part in parts:
        chosen = [place for place, (one, _, _) in enumerate(flat) if one == part]
        table = pa.table({"image": [cells[one] for one in chosen], "label": [labels[one] for one in chosen]})
        write_saved(place.root / "hf" / part, table, LABEL)
    (place.root / "hf" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    with pytest.warns(Remark, match=r"is read with label=label, split=split, images in column (image|png)"):
        found = {name: cache.load(name, place) for name in ("folder", "npz", "parquet", "feather", "hf")}
    assert {name: one.fingerprint for name, one in found.items()} == dict.fromkeys(found, found["folder"].fingerprint)
    assert found["hf"].classes == list(CLASSES)
    assert found["folder"].shape == (1 if mode == "L" else 3, 8, 8)
    assert not any(is_vectors(name, place, {}) for name in found)
    if mode == "L":
        accuracy = {}
        for name in ("folder", "npz", "parquet", "hf"):
            given = {
                "strategy": {"name": "naive"},
                "scenario": {"name": f"split-{name}", "tasks": 2, "class_order": "fixed"},
                "model": {"name": "mlp", "widths": [8]},
            }
            accuracy[name] = run(resolve(given, place=place)[0], Machine(place, device="cpu", threads=1)).accuracy
        assert list(accuracy.values()) == [accuracy["folder"]] * 4


def test_val_stands_in_for_a_missing_test_and_is_told(tmp_path: Path) -> None:
    write_classes(tmp_path / "set" / "train", images_of("L", 3))
    with pytest.raises(UserError, match=r"set has train/ but none of test/, val/.*a fifth is held out"):
        load(tmp_path / "set")
    write_classes(tmp_path / "set" / "val", images_of("L", 2))
    with pytest.warns(Remark, match="set has no test/: the images of val/ are the test images"):
        data = load(tmp_path / "set")
    assert len(data.test_labels) == 8
    write_classes(tmp_path / "set" / "test", images_of("L", 1))
    assert len(load(tmp_path / "set").test_labels) == 4


def test_a_flat_folder_has_a_fifth_held_out(tmp_path: Path) -> None:
    images = images_of("RGB", 5)
    write_classes(tmp_path / "set", images)
    data = load(tmp_path / "set")
    assert data.undivided
    assert np.bincount(data.train_labels[data.rows("test")]).tolist() == [1, 1, 1, 1]
    assert np.array_equal(data.train_samples[0], images["ant"][0].transpose(2, 0, 1))
    assert load(tmp_path / "set", image_size=4).shape == (3, 4, 4)


def test_images_with_a_list(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    images = images_of("L", 2)
    write_classes(folder / "all", images)
    names = [f"all/{label}/{index}.png" for index in range(2) for label in CLASSES]
    rows = [f"{name},{name[4:7]},2024-01-0{9 - row},{'xy'[row % 2]}" for row, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["Filename,label,when,site", *rows]))
    Image.fromarray(images["ant"][0]).save(folder / "spare.png")
    with pytest.warns(Remark, match="labels.csv is read with label=label, time=when, images in column Filename"):
        data = load(folder, group="site")
    assert data.undivided
    assert data.is_images
    assert data.calendar
    assert data.columns is None
    assert data.train_labels.tolist() == [3, 2, 1, 0] * 2, "in order of time"
    assert np.array_equal(data.train_samples[-1, 0], images["ant"][0])
    assert data.groups == ["x", "y"]
    (folder / "labels.csv").write_text("filename,label\nall/ant/0.png,a\nall/ant/7.png,b\n")
    with pytest.raises(UserError, match=r"there is no image .*7.png, named in row 2 .column 'filename'."):
        load(folder, label="label")
    (folder / "labels.csv").write_text("picture,label\nall/ant/0.png,a\nall/ant/1.png,b\n")
    with pytest.raises(UserError, match=r"no column that names the images' files. Call it file_name"):
        load(folder, label="label")


def test_vectors_in_lists_are_columns(tmp_path: Path) -> None:
    vectors = RNG.normal(size=(30, 4)).astype(np.float32)
    columns = {"age": pa.array([*range(29), None]), "label": pa.array(["a", "b", "c"] * 10)}
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 4)
    as_lists = pa.table({"emb": pa.array([None, *vectors[1:].tolist()], pa.list_(pa.float32())), **columns})
    parquet.write_table(pa.table({"emb": fixed, **columns}), tmp_path / "fixed.parquet")
    feather.write_feather(as_lists, str(tmp_path / "lists.feather"))
    data = load(tmp_path / "fixed.parquet", label="label")
    assert data.columns is not None
    assert data.columns.numbers == ["emb[0]", "emb[1]", "emb[2]", "emb[3]", "age"]
    assert np.array_equal(data.train_samples[:, :4], vectors)
    lists = load(tmp_path / "lists.feather", label="label")
    assert np.isnan(lists.train_samples[0, :4]).all(), "a missing vector"
    assert np.array_equal(lists.train_samples[1:, :4], vectors[1:])
    assert load(tmp_path / "fixed.parquet", label="label", drop=["emb"]).shape == (1,)
    assert load(tmp_path / "fixed.parquet", label="label", features=["emb"]).shape == (4,)
    write_saved(tmp_path / "hf", pa.table({"emb": fixed, **columns}), files=3)
    assert load(tmp_path / "hf", label="label").fingerprint == data.fingerprint


def test_lists_of_different_lengths(tmp_path: Path) -> None:
    table = pa.table({"emb": [[1.0, 2.0], [3.0], [4.0, 5.0]], "label": ["a", "b", "a"]})
    parquet.write_table(table, tmp_path / "table.parquet")
    with pytest.raises(
        UserError, match=r"column 'emb' holds lists of 2 numbers, and in a later row one of 1.*drop=.emb"
    ):
        load(tmp_path / "table.parquet", label="label")


def test_a_dataset_dict_with_three_splits_and_unknown_labels(tmp_path: Path) -> None:
    def table(rows: int, label: int) -> pa.Table:
        return pa.table({"x": RNG.normal(size=rows), "label": pa.array([label, *[n % 4 for n in range(rows - 1)]])})

    for split, rows in (("train", 12), ("validation", 5), ("test", 6)):
        write_saved(tmp_path / "hf" / split, table(rows, 0), LABEL)
    (tmp_path / "hf" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation", "test"]}))
    with pytest.warns(Remark, match="hf is read from train and test; validation left out"):
        data = load(tmp_path / "hf", label="label", split="split")
    assert (len(data.train_labels), len(data.test_labels), data.classes) == (12, 6, list(CLASSES))
    write_saved(tmp_path / "one", table(12, -1), LABEL)
    with pytest.raises(UserError, match=r"the label .column 'label'. is missing in row 1"):
        load(tmp_path / "one", label="label")
    write_saved(tmp_path / "wrong", table(12, 4), LABEL)
    with pytest.raises(UserError, match=r"column 'label' has a number that is none of its 4 classes"):
        load(tmp_path / "wrong", label="label")
    (tmp_path / "one" / "data-00000-of-00002.arrow").unlink()
    with pytest.raises(UserError, match=r"data-00000-of-00002.arrow is missing. Save the dataset anew"):
        load(tmp_path / "one", label="label")
    (tmp_path / "one" / "state.json").write_text("{")
    with pytest.raises(UserError, match=r"state.json cannot be read"):
        load(tmp_path / "one", label="label")


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    cells = [png(array) for arrays in images_of("L", 2).values() for array in arrays]
    labels = ["a", "b"] * 4
    file = tmp_path / "table.parquet"
    parquet.write_table(pa.table({"image": [b"no image", *cells[1:]], "label": labels}), file)
    with pytest.raises(UserError, match=r"column 'image' in row 1 cannot be decoded as an image"):
        load(file, label="label")
    parquet.write_table(pa.table({"image": [*cells[:3], None, *cells[4:]], "label": labels}), file)
    with pytest.raises(UserError, match=r"the image .column 'image'. is missing in row 4"):
        load(file, label="label")
    parquet.write_table(pa.table({"image": cells, "other": cells, "label": labels}), file)
    with pytest.raises(UserError, match=r"images in image, other cannot be put beside.*data.features=.image"):
        load(file, label="label")
    assert load(file, label="label", drop=["other"]).shape == (1, 8, 8)
    big = png(np.zeros((9, 9), np.uint8))
    parquet.write_table(pa.table({"image": [*cells[:7], big], "label": labels}), file)
    with pytest.raises(UserError, match=r"not all images of this folder have the same size"):
        load(file, label="label")
    assert load(file, label="label", image_size=6).shape == (1, 6, 6)


FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("table.csv", b"", r"table.csv cannot be read as a table: .*mpty"),
    "a header alone": ("table.csv", b"x,label\n", r"has no rows"),
    "damaged gz": (
        "table.csv.gz",
        gzip.compress(RNG.bytes(4000).hex().encode())[:-900],
        r"table.csv.gz cannot be read as a table",
    ),
    "no gz": ("table.csv.gz", b"x,label\n1,a\n2,b\n", r"table.csv.gz cannot be read as a table"),
    "not UTF-8": ("table.csv", "x,label\n1,ä\n2,b\n".encode("latin1"), r"table.csv.*UTF.?8"),
    "ragged": ("table.csv", b"x,label\n1,a\n2,b,c\n", r"cannot be read as a table: .*Expected 2 columns, got 3"),
    "damaged parquet": ("table.parquet", b"PAR1" + bytes(40) + b"PAR1", r"table.parquet cannot be read as a table"),
    "damaged feather": ("table.feather", b"ARROW1" + bytes(40), r"table.feather cannot be read as a table"),
    "another format": ("table.xlsx", b"PK", r"data.path: .*table.xlsx is none of .csv, .*Convert it"),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_files_are_told_in_a_sentence(case: str, tmp_path: Path) -> None:
    name, content, message = FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(tmp_path / name, label="label")
    assert not [*(tmp_path / "cache").glob("mine-*")], "nothing half written"


def test_ten_thousand_categories(tmp_path: Path) -> None:
    names = [f"item {n % 10_000}" for n in range(40_000)]
    table = pa.table({"item": names, "label": ["a", "b"] * 20_000})
    parquet.write_table(table, tmp_path / "table.parquet")
    data = load(tmp_path / "table.parquet", label="label")
    assert data.columns is not None
    assert data.columns.categories == ["item"]
    assert data.train_samples[:, 0].max() == 10_000


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".feather"])
def test_a_file_is_read_in_blocks(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No block is larger than was asked for, so a file may be larger than memory."""
    rows = 3000
    table = pa.table({"x": RNG.normal(size=rows), "y": RNG.normal(size=rows), "label": [0, 1] * (rows // 2)})
    whole, file = tmp_path / f"whole{suffix}", tmp_path / f"table{suffix}"
    for one in (whole, file):
        if suffix == ".csv":
            from pyarrow import csv

            csv.write_csv(table, one)
        elif suffix == ".parquet":
            parquet.write_table(table, one)
        else:
            feather.write_feather(table, str(one))
    expected = load(whole, label="label").fingerprint
    sizes = []
    monkeypatch.setattr(arrow, "BLOCK", 2000)
    monkeypatch.setattr(arrow, "CELLS", 150)
    opened = arrow._opened

    def watched(*arguments: Any) -> Any:
        for batch in opened(*arguments):
            sizes.append(len(batch))
            yield batch

    monkeypatch.setattr(arrow, "_opened", watched)
    assert load(file, label="label").fingerprint == expected
    assert max(sizes) <= 50
    assert sum(sizes) == rows


def test_status_lists_what_is_there_and_verifies_it(place: DataPlace) -> None:
    (place.root / "tables" / "sales.csv").write_text("x,label\n1,a\n2,b\n3,a\n4,b\n")
    np.savez(place.root / "vectors.npz", x=RNG.normal(size=(20, 3)), y=[0, 1] * 10)
    np.save(place.root / "stack.npy", RNG.normal(size=(20, 3)))
    np.save(place.root / "stack_labels.npy", [0, 1] * 10)
    write_classes(place.root / "insects", images_of("L", 2))
    write_saved(place.root / "tables" / "hf", pa.table({"x": [1.0, 2.0], "label": [0, 1]}))
    write_saved(place.root / "broken", pa.table({"x": [1.0, 2.0], "label": [0, 1]}))
    (place.root / "broken" / "state.json").write_text("{")
    assert present(place)[5:] == ["broken", "hf", "insects", "sales", "stack", "vectors"]
    layouts = {one.name: one.layout for one in statuses(place)}
    assert [layouts[name] for name in ("sales", "vectors", "stack", "insects", "hf", "broken", "mnist")] == [
        "table",
        "arrays",
        "arrays",
        "image folder",
        "datasets folder",
        "cannot be read",
        "–",
    ]
    with pytest.warns(Remark, match="sales.csv is read with label=label"):
        assert verify("sales", place).sentence.startswith("decoded; fingerprint")
    assert verify("sales", place).sentence.startswith("sound")
    assert {one.name: one.decoded for one in statuses(place)}["sales"] == "yes"


def test_the_command_line_lists_and_decodes_them(place: DataPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLBENCH_DATA", str(place.root))
    (place.root / "tables" / "sales.csv").write_text("x,label\n" + "1,a\n2,b\n" * 10)
    (place.root / "tables" / "sales.yaml").write_text("label: label\n")
    listed = json.loads(CliRunner().invoke(app, ["list", "datasets", "--json"]).stdout)
    (mine,) = (one for one in listed if one["dataset"] == "sales")
    assert mine["what it is"].startswith("a table: ")
    fetched = CliRunner().invoke(app, ["data", "fetch", "sales"])
    assert fetched.exit_code == 0, fetched.output
    assert "16 training and 4 test samples" in fetched.output


def test_codes_reach_a_network_with_an_embedding(place: DataPlace) -> None:
    """Whole numbers go into the network as they are: its first layer looks them up."""
    (place.root / "net.py").write_text(
        "from torch import nn\n\n\ndef net():\n"
        "    return nn.Sequential(nn.Embedding(30, 8), nn.Flatten(), nn.Linear(24, 3))\n"
    )
    x = np.random.default_rng(0).integers(0, 30, (300, 3))
    np.savez(place.root / "words.npz", x=x, y=x[:, 0] % 3)
    layer = {
        "scenario": {"name": "split-class-words", "tasks": 3},
        "model": f"{place.root / 'net.py'}:net",
        "data": {"codes": True},
        "optimizer": {"name": "adam", "lr": 0.02},
        "epochs": 20,
        "batch_size": 16,
    }
    (config,) = resolve({"strategy": "er"}, layer, place=place)
    with pytest.warns(Remark, match="classifiers replace"):
        result = run(config, Machine(place, "cpu", 1))
    learnt = result.metrics["average_accuracy"].value
    assert learnt is not None
    assert learnt > 0.9
