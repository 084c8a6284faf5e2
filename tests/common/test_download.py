"""Downloads: resumed, checked, from the next mirror when one fails, and with advice when none answers."""

import gzip
import hashlib
import io
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import scipy.io
import torch

from common.data import download, full_set
from common.data.download import DownloadError
from common.data.formats import FormatError, read_cifar, read_idx, read_mat, read_svhn
from common.data.sources import SOURCES, RemoteFile, Source

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)
LABELS = np.arange(7, dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


FILES = {"images.gz": gzip.compress(idx(IMAGES), mtime=0), "labels.gz": gzip.compress(idx(LABELS), mtime=0)}


@dataclass
class Server:
    """A web server on this machine: /<folder>/<file>, with faults per folder, and a record of what was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: dict[str, int] = field(default_factory=dict)  # path -> bytes sent before the connection breaks, once
    no_ranges: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range header
    address: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        content = self.files.get(request.path)
        if content is None:
            return request.send_error(404)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not self.no_ranges else 0
        if start >= len(content) > 0:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            return request.end_headers()
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        end = self.cut_after.pop(request.path, len(content))
        request.wfile.write(content[start:end])
        request.close_connection = True


@pytest.fixture
def server():
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        def log_message(self, *args):
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    for name in ("DATA_FOLDER", "DATA_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tiny(server, monkeypatch):
    """A set of one split, known by the hash of its content, on two mirrors of which the first has nothing."""
    contents = {name: gzip.decompress(data) for name, data in FILES.items()}
    files = tuple(RemoteFile(n, f"sha256:{hashlib.sha256(c).hexdigest()}", "content") for n, c in contents.items())
    mirrors = (f"{server.address}/empty/", f"{server.address}/good/")
    monkeypatch.setitem(SOURCES, "tiny", Source({"train": files}, "idx", tuple("0123456"), mirrors))
    server.files |= {f"/good/{name}": data for name, data in FILES.items()}
    return "tiny"


def test_second_mirror_serves_when_the_first_fails(tiny, server, tmp_path):
    data = full_set(tiny, "train", tmp_path)
    assert torch.equal(data.images, torch.from_numpy(IMAGES)[:, None])
    assert data.labels.tolist() == LABELS.tolist()
    assert data.labels.dtype == torch.int64
    assert [path for path, _ in server.asked][:2] == ["/empty/images.gz", "/good/images.gz"]


def test_what_is_there_is_not_asked_for_again(tiny, server, tmp_path):
    assert download(tiny, tmp_path) == tmp_path / "tiny"
    asked = len(server.asked)
    assert torch.equal(full_set(tiny, "train", tmp_path).images[:, 0], torch.from_numpy(IMAGES))
    assert len(server.asked) == asked


def test_a_cut_connection_is_resumed_where_it_broke(tiny, server, tmp_path):
    server.cut_after["/good/images.gz"] = 1234
    download(tiny, tmp_path)
    assert [r for path, r in server.asked if path == "/good/images.gz"] == [None, "bytes=1234-"]
    assert (tmp_path / "tiny" / "images.gz").read_bytes() == FILES["images.gz"]
    assert sorted(p.name for p in (tmp_path / "tiny").iterdir()) == sorted(FILES), "no leftovers"


def test_a_later_call_resumes_what_an_earlier_one_left(tiny, server, tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "images.gz.part").write_bytes(FILES["images.gz"][:500])
    download(tiny, tmp_path)
    assert ("/good/images.gz", "bytes=500-") in server.asked
    assert (tmp_path / "tiny" / "images.gz").read_bytes() == FILES["images.gz"]


@pytest.mark.parametrize("left", [FILES["images.gz"], FILES["images.gz"] + b"too much", b"other bytes" * 50])
@pytest.mark.parametrize("no_ranges", [False, True])
def test_whatever_was_left_the_result_is_right(tiny, server, tmp_path, left, no_ranges):
    server.no_ranges = no_ranges
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "images.gz.part").write_bytes(left)
    download(tiny, tmp_path)
    assert (tmp_path / "tiny" / "images.gz").read_bytes() == FILES["images.gz"]


@pytest.mark.parametrize(
    "wrong", [gzip.compress(idx(IMAGES + 1)), b"<html>log in first</html>", b"", FILES["images.gz"][:-9]]
)
def test_a_wrong_file_is_refused_and_removed(tiny, server, tmp_path, wrong):
    server.files["/good/images.gz"] = wrong
    with pytest.raises(DownloadError, match="wrong hash"):
        full_set(tiny, "train", tmp_path)
    assert list((tmp_path / "tiny").iterdir()) == []


def test_content_counts_and_not_its_packing(tiny, server, tmp_path):
    repacked = gzip.compress(idx(IMAGES), compresslevel=1, mtime=99)
    assert repacked != FILES["images.gz"]
    server.files["/good/images.gz"] = repacked
    assert torch.equal(full_set(tiny, "train", tmp_path).images[:, 0], torch.from_numpy(IMAGES))


def test_without_a_network_the_error_says_what_to_do(tiny, monkeypatch, tmp_path):
    nowhere = "http://127.0.0.1:9/"  # the discard port: nobody listens
    monkeypatch.setitem(SOURCES, tiny, Source(SOURCES[tiny].files, "idx", (), (nowhere,)))
    with pytest.raises(DownloadError) as caught:
        full_set(tiny, "train", tmp_path)
    message = str(caught.value)
    for needed in (nowhere, "images.gz, labels.gz", "DATA_FOLDER", "folder=", str(tmp_path / "tiny"), "need no network"):
        assert needed in message


def test_a_local_folder_needs_no_network(tiny, server, tmp_path, monkeypatch):
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    assert len(full_set(tiny, "train", tmp_path)) == 7
    monkeypatch.setenv("DATA_FOLDER", str(tmp_path))
    assert len(full_set(tiny)) == 7
    assert server.asked == []


def test_a_damaged_local_file_is_named_and_kept(tiny, server, tmp_path):
    (tmp_path / "images.gz").write_bytes(b"damaged")
    server.files.clear()
    with pytest.raises(DownloadError, match=r"images\.gz of tiny is damaged"):
        full_set(tiny, "train", tmp_path)
    assert (tmp_path / "images.gz").read_bytes() == b"damaged"


def test_an_own_mirror_is_asked_first(tiny, server, tmp_path, monkeypatch):
    server.files |= {f"/own/tiny/{name}": data for name, data in FILES.items()}
    monkeypatch.setenv("DATA_MIRROR", f"{server.address}/own")
    download(tiny, tmp_path)
    assert [path for path, _ in server.asked] == ["/own/tiny/images.gz", "/own/tiny/labels.gz"]


def test_a_folder_that_cannot_be_written_is_an_error_with_advice(tiny, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DownloadError, match="DATA_FOLDER"):
        download(tiny, tmp_path / "file")


def test_unknown_names_and_splits_are_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match="choose one of fashion_mnist, mnist, kmnist, cifar10, svhn"):
        full_set("imagenet", "train", tmp_path)
    with pytest.raises(ValueError, match="choose one of train"):
        full_set(tiny, "valid", tmp_path)


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "tiny"])
def test_the_table_is_well_formed(name):
    source = SOURCES[name]
    assert source.files.keys() == {"train", "test"}
    assert len(source.classes) == len(set(source.classes)) == 10
    assert len(source.mirrors) >= 2
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in source.mirrors)
    for file in (file for split in source.files.values() for file in split):
        algorithm, value = file.digest.split(":")
        assert len(bytes.fromhex(value)) == hashlib.new(algorithm).digest_size
        assert file.of in ("content", "file")


def cifar_archive(path, records: dict[str, np.ndarray]):
    with tarfile.open(path, "w:gz") as archive:
        for name, record in records.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = record.nbytes
            archive.addfile(member, io.BytesIO(record.tobytes()))
    return path


def test_cifar_records_are_a_label_and_three_planes(tmp_path):
    records = np.random.default_rng(1).integers(0, 256, (12, 3073), dtype=np.uint8)
    batches = {f"data_batch_{i}.bin": records[2 * i - 2 : 2 * i] for i in range(1, 6)} | {"test_batch.bin": records[10:]}
    path = cifar_archive(tmp_path / "cifar.tar.gz", batches)
    images, labels = read_cifar(path, "train")
    assert images.shape == (10, 3, 32, 32)
    assert (labels == records[:10, 0]).all()
    assert images[3, 1, 2, 5] == records[3, 1 + 1024 + 2 * 32 + 5]
    assert (read_cifar(path, "test")[0].reshape(2, -1) == records[10:, 1:]).all()


@pytest.mark.parametrize("compressed", [True, False])
def test_svhn_is_read_as_scipy_writes_it(tmp_path, compressed):
    images = np.random.default_rng(2).integers(0, 256, (32, 32, 3, 5), dtype=np.uint8)
    labels = np.array([[1], [10], [3], [9], [10]], dtype=np.uint8)
    path = tmp_path / "svhn.mat"
    scipy.io.savemat(path, {"X": images, "y": labels}, do_compression=compressed)
    read, digits = read_svhn(path)
    assert digits.tolist() == [1, 0, 3, 9, 0]
    assert (read == images.transpose(3, 2, 0, 1)).all()


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_mat_arrays_of_any_number_type(tmp_path, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    scipy.io.savemat(tmp_path / "a.mat", {"name": array, "b": array[:1, :1]})
    arrays = read_mat(tmp_path / "a.mat")
    assert (arrays["name"] == array).all()
    assert arrays["b"].shape == (1, 1)


@pytest.mark.parametrize("keep", [0, 3, 100, 127, 150, 400, 5000])
def test_cut_files_are_refused_by_every_reader(tmp_path, keep):
    idx_file = tmp_path / "idx.gz"
    idx_file.write_bytes(FILES["images.gz"][:keep])
    mat = tmp_path / "svhn.mat"
    noise = np.random.default_rng(4).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    scipy.io.savemat(mat, {"X": noise, "y": np.ones((4, 1))}, do_compression=True)
    mat.write_bytes(mat.read_bytes()[:keep])
    cifar = cifar_archive(tmp_path / "cifar.tar.gz", {"test_batch.bin": noise.reshape(4, -1)[:, : 3073 - 1]})
    cifar.write_bytes(cifar.read_bytes()[:keep])
    for read, arguments in ((read_idx, (idx_file,)), (read_svhn, (mat,)), (read_cifar, (cifar, "test"))):
        with pytest.raises(FormatError):
            read(*arguments)


@pytest.mark.parametrize("content", [idx(IMAGES)[:-1], idx(IMAGES) + b"0", b"\0\0\x0d\1\0\0\0\1", b"\0\0\x08\3\0\0", b""])
def test_idx_headers_must_fit_the_data(tmp_path, content):
    path = tmp_path / "idx.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(FormatError):
        read_idx(path)
