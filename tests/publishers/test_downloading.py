"""A file arrives whole, whatever breaks on the way; what has arrived is not asked for twice."""

import random

import pytest

from blockyard.mistakes import DataError
from blockyard.publishers import downloading
from blockyard.publishers.downloading import TRIES, check_address, download

SIZE = 3_000_000
CONTENT = random.Random(0).randbytes(SIZE)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(downloading, "PAUSE", 0.0)


@pytest.fixture
def get(publisher, tmp_path):
    """Download what the server has, and give the bytes that there are then, and the counts that were told."""
    publisher.files["/set.tar"] = CONTENT

    def call(path="/set.tar", size=SIZE):
        told = []
        download(f"{publisher.address}{path}", tmp_path / "set.tar", size, told.append)
        assert told[-1:] in ([], [size])
        return (tmp_path / "set.tar").read_bytes()

    return call


def test_a_file_arrives_whole(publisher, get):
    assert get() == CONTENT
    assert publisher.sent == SIZE
    assert get() == CONTENT
    assert len(publisher.asked) == 1  # what is whole is not asked for


def test_what_broke_off_goes_on_where_it_was(publisher, get):
    publisher.cuts = [1_000_000, 1_500_000]
    assert get() == CONTENT
    assert [wanted for _, wanted, _ in publisher.asked] == [None, "bytes=1000000-", "bytes=2500000-"]
    assert publisher.sent == SIZE


def test_a_later_call_goes_on_too(publisher, get):
    publisher.cuts = [1_000_000, *[0] * (TRIES - 1)]
    with pytest.raises(DataError, match=f"the connection ended early, {TRIES} times"):
        get()
    assert publisher.sent == 1_000_000
    assert get() == CONTENT
    assert publisher.sent == SIZE


def test_a_server_without_ranges_starts_anew(publisher, get):
    publisher.ranges, publisher.cuts = False, [1_000_000]
    assert get() == CONTENT
    assert publisher.sent == SIZE + 1_000_000


def test_a_server_that_never_gets_further_is_given_up(publisher, get):
    publisher.ranges, publisher.cuts = False, [1_000_000] * 2 * TRIES
    with pytest.raises(DataError, match="the connection ended early"):
        get()
    assert len(publisher.asked) == TRIES


def test_another_version_is_not_put_behind_the_part_of_one(publisher, get):
    publisher.files["/set.tar"], publisher.cuts = bytes(SIZE), [1_000_000, *[0] * (TRIES - 1)]
    with pytest.raises(DataError):
        get()
    publisher.files["/set.tar"], publisher.version = CONTENT, '"2"'
    assert get() == CONTENT
    assert publisher.asked[-1][1:] == ("bytes=1000000-", '"1"')


def test_nor_by_a_server_that_heeds_no_condition(publisher, get):
    publisher.files["/set.tar"], publisher.cuts = bytes(SIZE), [1_000_000, *[0] * (TRIES - 1)]
    with pytest.raises(DataError):
        get()
    publisher.files["/set.tar"], publisher.version, publisher.conditions = CONTENT, '"2"', False
    assert get() == CONTENT
    assert [wanted for _, wanted, _ in publisher.asked[-2:]] == ["bytes=1000000-", None]


def test_a_weak_etag_names_no_bytes(publisher, get):
    publisher.version, publisher.cuts = 'W/"1"', [1_000_000]
    assert get() == CONTENT
    assert publisher.asked[-1][1:] == ("bytes=1000000-", None)


@pytest.mark.parametrize("version", ['"1"\r\n 2', '"\xe9"'])
def test_an_etag_that_can_not_be_sent_back_names_nothing(publisher, get, version):
    publisher.version, publisher.cuts = version, [1_000_000]
    assert get() == CONTENT
    assert publisher.asked[-1][1:] == ("bytes=1000000-", None)


def test_a_name_that_no_machine_has(tmp_path):
    with pytest.raises(DataError, match=r"^https://a\.\.b/c: "):
        download("https://a..b/c", tmp_path / "c", 1, print)


def test_a_part_that_is_longer_than_the_file_is_dropped(publisher, get, tmp_path):
    (tmp_path / "set.tar").write_bytes(bytes(SIZE + 1))
    assert get() == CONTENT


def test_what_passes_is_waited_for(publisher, get, monkeypatch):
    waited = []
    monkeypatch.setattr(downloading.time, "sleep", waited.append)
    monkeypatch.setattr(downloading, "PAUSE", 1.0)
    publisher.answers = [(503, {"Retry-After": "7"}), (500, {}), (429, {"Retry-After": "99999"})]
    assert get() == CONTENT
    assert waited == [7, 2, 60]


def test_a_file_that_is_not_there_is_asked_for_once(publisher, get):
    with pytest.raises(DataError, match=r"/other\.tar: 404 Not Found"):
        get("/other.tar")
    assert len(publisher.asked) == 1


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1])
def test_a_file_of_another_size_is_another_file(publisher, get, size, tmp_path):
    with pytest.raises(DataError, match=f"{SIZE} bytes, not the {size} of the published file"):
        get(size=size)
    assert publisher.sent <= SIZE
    assert not (tmp_path / "set.tar").exists()


def test_a_server_that_tells_no_length_is_not_believed_without_end(publisher, get, monkeypatch, tmp_path):
    monkeypatch.setattr(downloading, "_start", lambda *_: 0)
    with pytest.raises(DataError, match="more than the 1,000 bytes"):
        get(size=1000)
    assert (tmp_path / "set.tar").stat().st_size <= 1000


def test_nobody_there(get, publisher):
    publisher.server_close()
    with pytest.raises(DataError, match=rf"refused, {TRIES} times; the same line goes on from here"):
        get()


def test_a_redirection_is_followed(publisher, get):
    publisher.answers = [(302, {"Location": "/set.tar"})]
    assert get("/moved") == CONTENT


@pytest.mark.parametrize("target", ["http://example.org/set.tar", "file:///etc/passwd", "ftp://127.0.0.1/set.tar"])
def test_a_redirection_to_an_open_line_is_not(publisher, get, target):
    publisher.answers = [(302, {"Location": target})]
    with pytest.raises(DataError, match=rf"leads to {target}: only https:// is fetched from|302"):
        get()
    assert len(publisher.asked) == 1


@pytest.mark.parametrize("address", ["https://example.org/a", "http://localhost:8000/a", "http://[::1]/a"])
def test_what_may_be_asked(address):
    check_address(address, address)


@pytest.mark.parametrize(
    "address",
    [
        *("http://example.org/a", "file:///a", "example.org/a", "", "https://", "https://[", "https://a:b/c"),
        *("https://example.org/a b", "https://example.org/ä", "http://127.0.0.1.example.org/", "ftp://localhost/"),
    ],
)
def test_what_may_not(address):
    with pytest.raises(DataError, match="only https://"):
        check_address(address, address)


def test_nor_this_machine_by_way_of_another():
    with pytest.raises(DataError, match=r"https://example\.org leads to http://localhost/"):
        check_address("http://localhost/", "https://example.org")
