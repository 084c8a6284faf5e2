"""Checkpoints: what is saved comes back, nothing in a file runs, and every defect has its sentence."""

import json
import os
import pickle
import struct

import pytest
import torch
from torch import nn

from common import artifacts
from common.artifacts import CheckpointError

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "artifacts"


class Net(nn.Module):
    """Tied weights, a boolean buffer, and arguments of several types."""

    def __init__(self, shape, widths=(), scale=1.0, name=None):
        super().__init__()
        assert isinstance(shape, tuple)
        assert isinstance(widths, list | tuple)
        self.first, self.second = nn.Linear(*shape), nn.Linear(*shape)
        self.second.weight = self.first.weight
        self.register_buffer("mask", torch.arange(shape[0]) % 2 == 0)
        self.widths, self.scale, self.name = widths, scale, name


class Other(nn.Linear):
    pass


def file_of(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def sound_header(**changes):
    metadata = {"class": "Net", "config": '{"shape": {"__tuple__": [1, 2]}}'}
    return {"__metadata__": metadata, "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, **changes}


def claiming(class_name, config):
    return file_of(sound_header(__metadata__={"class": class_name, "config": config}), b"\0" * 8)


def written(folder, data):
    folder.mkdir(exist_ok=True)
    (folder / "x.safetensors").write_bytes(data)
    return folder / "x.safetensors"


@pytest.mark.parametrize("config", [
    {"shape": (3, 4)},
    {"shape": (3, 4), "widths": [1, (2, 3), {"a": (4,)}], "scale": 0.1, "name": "ü"},
    {"shape": (5, 2), "scale": None, "name": True},
])
def test_a_saved_model_comes_back(config):
    model = Net(**config)
    artifacts.save("e1_net", model, config)
    loaded = artifacts.load("e1_net", {"Net": Net})
    assert not loaded.training
    assert artifacts.read("artifacts/e1_net.safetensors").config == config
    assert (loaded.widths, loaded.scale, loaded.name) == (model.widths, model.scale, model.name)
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    assert loaded.first.weight is loaded.second.weight


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_values_and_dtypes_are_exact(dtype):
    tensor = (torch.randn(5, 3, generator=torch.Generator().manual_seed(0)) * 1e3).to(dtype)
    model = nn.Module()
    model.register_buffer("values", tensor.T)  # not contiguous
    with pytest.raises(CheckpointError, match="no values"):  # the class alone does not make the buffer
        artifacts.save("x", model, {})
    model = nn.Linear(3, 5, bias=False, dtype=dtype)
    model.load_state_dict({"weight": tensor})
    artifacts.save("x", model, {"in_features": 3, "out_features": 5, "bias": False})
    assert torch.equal(artifacts.read("artifacts/x.safetensors").tensors["weight"], tensor)


@pytest.mark.parametrize("classes", [Net, [Other, Net], {"Net": Net, "torch": torch, "n": 3}])
def test_classes_may_come_alone_in_a_list_or_as_globals(classes):
    artifacts.save("x", Net((2, 3)), {"shape": (2, 3)})
    assert type(artifacts.load("x", classes)) is Net


def test_saving_does_not_shift_random_numbers_or_change_the_model():
    model = Net((3, 4))
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    artifacts.save("x", model, {"shape": (3, 4)})
    assert torch.equal(torch.rand(4), expected)
    assert model.training


@pytest.mark.parametrize("config, sentence", [
    ({"shape": (3, 5)}, r"does not fit Net.*first\.weight is \[4, 3\] in the file and \[5, 3\] in the class"),
    ({}, r"Net\(\*\*config\) fails with TypeError.*must hold the constructor's arguments"),
    ({"shape": torch.zeros(2)}, "can't be stored as JSON"),
    ({"shape": (3, 4), "scale": float("nan")}, "can't be stored as JSON"),
    ({"shape": (3, 4), "name": {1: 2}}, "dict keys must be strings"),
])
def test_a_wrong_config_is_refused_when_saving(folder, config, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        artifacts.save("x", Net((3, 4)), config)
    assert not folder.exists(), "nothing may be written"


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "x" * 101, "a b"])
def test_bad_names_are_refused(name):
    with pytest.raises(CheckpointError, match="no checkpoint name"):
        artifacts.save(name, Net((1, 2)), {"shape": (1, 2)})


def test_a_failed_write_keeps_the_old_file_and_leaves_no_rubbish(folder, monkeypatch):
    path = artifacts.save("x", Net((1, 2)), {"shape": (1, 2)})
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        artifacts.save("x", Net((1, 3)), {"shape": (1, 3)})
    assert path.read_bytes() == before
    assert [p.name for p in folder.iterdir()] == ["x.safetensors"]


def test_an_unknown_class_is_named():
    artifacts.save("x", Net((1, 2)), {"shape": (1, 2)})
    with pytest.raises(CheckpointError, match=r"holds a 'Net', but Other was given. Run the cell"):
        artifacts.load("x", [Other])
    with pytest.raises(CheckpointError, match="no class was given"):
        artifacts.load("x", {"Net": "no class"})


def test_another_shape_is_named():
    artifacts.save("x", Net((1, 2)), {"shape": (1, 2)})
    Changed = type("Net", (Other,), {"__init__": lambda self, shape: Other.__init__(self, *shape)})
    with pytest.raises(CheckpointError, match=r"bias is missing in the file.*the class has no .*Train and save again"):
        artifacts.load("x", Changed)


def test_a_missing_file_says_what_to_do():
    with pytest.raises(CheckpointError, match=r"artifacts/none.safetensors does not exist. Run the cell that trains"):
        artifacts.load("none", Net)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_are_refused_and_not_run(folder, tmp_path, protocol):
    path = written(folder, pickle.dumps(Bomb(), protocol=protocol))
    with pytest.raises(CheckpointError, match="looks like a pickle"):
        artifacts.read(path)
    torch.save({"w": Bomb()}, path)
    with pytest.raises(CheckpointError, match="looks like a pickle"):
        artifacts.read(path)
    assert not (tmp_path / "exploded").exists()


def test_a_header_whose_length_looks_like_a_pickle_is_no_pickle(folder):
    """A header of 0x0280 bytes starts with the bytes of a pickle of protocol 2."""
    header = sound_header()
    header["__metadata__"]["config"] = "{}" + " " * (0x280 - len(json.dumps(header)) + 28)
    data = file_of(json.dumps(header).encode().ljust(0x280), b"\0" * 8)
    assert data[:2] == b"\x80\x02"
    assert artifacts.read(written(folder, data)).config == {}


def test_every_truncation_is_refused(folder):
    data = artifacts.save("x", Net((2, 3)), {"shape": (2, 3)}).read_bytes()
    for length in range(len(data)):
        with pytest.raises(CheckpointError):
            artifacts.read(written(folder, data[:length]))
    with pytest.raises(CheckpointError, match="cut short"):
        artifacts.read(written(folder, data[:-1]))


def test_flipped_bytes_end_in_a_value_or_a_checkpoint_error(folder):
    data = artifacts.save("x", Net((2, 3)), {"shape": (2, 3)}).read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        damaged = bytearray(data)
        for position in torch.randint(len(data), (3,), generator=generator).tolist():
            damaged[position] = int(torch.randint(256, (), generator=generator))
        try:
            checkpoint = artifacts.read(written(folder, bytes(damaged)))
        except CheckpointError:
            continue
        assert all(type(t) is torch.Tensor for t in checkpoint.tensors.values())


HUGE = {"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": [0, 8]}


@pytest.mark.parametrize("data, sentence", [
    (b"", "cut short"),
    (b"\xff" * 100, "cut short"),
    (b"hello, this is no checkpoint at all", "cut short"),
    (struct.pack("<Q", 2**20 + 1) + b"{" * (2**20 + 9), "a header of 1,048,577 bytes"),
    (file_of(b"[" * 100_000), "header is not valid JSON"),
    (file_of(b'{"a":' * 100_000), "header is not valid JSON"),
    (file_of(b"\xff\xfe{}"), "header is not valid JSON"),
    (file_of([]), "no JSON object"),
    (file_of({}), "names no class and config"),
    (file_of({"__metadata__": {"class": "Net"}}), "names no class and config"),
    (claiming("os.system", "{}"), "no Python name"),
    (claiming("Net", "no json"), "config is not valid JSON"),
    (claiming("Net", "[1]"), "config is no JSON object"),
    (claiming("Net", '{"a":' * 800 + "1" + "}" * 800), "nested|JSON"),
    (claiming("Net", "9" * 5000), "not valid JSON"),
    (file_of(sound_header(w=HUGE), b"\0" * 8), "not acceptable"),
    (file_of(sound_header(w={**HUGE, "shape": [0, 2**39], "data_offsets": [0, 0]})), "not acceptable"),
    (file_of(sound_header(w={**HUGE, "shape": [1] * 9, "data_offsets": [0, 4]}), b"\0" * 4), "not acceptable"),
    (file_of(sound_header(w={**HUGE, "shape": [-2], "data_offsets": [8, 0]}), b"\0" * 8), "not acceptable"),
    (file_of(sound_header(w={**HUGE, "shape": [True]}), b"\0" * 8), "not acceptable"),
    (file_of(sound_header(w={**HUGE, "shape": "ab"}), b"\0" * 8), "not acceptable"),
    (file_of(sound_header(w={**HUGE, "dtype": "F8_E4M3", "shape": [8]}), b"\0" * 8), "not acceptable"),
    (file_of(sound_header(w={**HUGE, "dtype": ["F32"], "shape": [2]}), b"\0" * 8), "not acceptable"),
    (file_of(sound_header(w=3), b"\0" * 8), "not acceptable"),
    (file_of(sound_header(w={"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}), b"\0" * 16), "damaged"),
    (file_of(sound_header(v={"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}), b"\0" * 8), "damaged"),
    (file_of(sound_header(), b"\0" * 9), "damaged"),
    (file_of({**sound_header(), **{f"t{i}": sound_header()["w"] for i in range(4200)}}, b"\0" * 8), "at most 4,096"),
])
def test_hostile_files_are_refused_with_a_sentence(folder, data, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        artifacts.read(written(folder, data))


def test_large_files_links_and_special_files_are_not_read(folder):
    path = written(folder, file_of(sound_header(), b"\0" * 8))
    assert artifacts.read(path).tensors["w"].tolist() == [0.0, 0.0]
    with pytest.raises(CheckpointError, match="at most 20 are accepted"):
        artifacts.read(path, max_bytes=20)
    os.symlink(path, folder / "link.safetensors")
    os.mkfifo(folder / "fifo.safetensors")
    os.mkdir(folder / "folder.safetensors")
    for name in ("link", "fifo", "folder"):
        with pytest.raises(CheckpointError, match="plain file"):
            artifacts.read(folder / f"{name}.safetensors")


def test_booleans_become_zero_or_one(folder):
    header = sound_header(w={"dtype": "BOOL", "shape": [4], "data_offsets": [0, 4]})
    mask = artifacts.read(written(folder, file_of(header, bytes([0, 1, 2, 255])))).tensors["w"]
    assert mask.dtype == torch.bool
    assert mask.view(torch.uint8).tolist() == [0, 1, 1, 1]


def test_messages_hold_no_folders_of_the_machine(folder):
    with pytest.raises(CheckpointError) as caught:
        artifacts.read(written(folder, b"x" * 50))
    assert str(caught.value).startswith("artifacts/x.safetensors ")
