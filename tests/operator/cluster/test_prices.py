import pytest

from llmi_operator.cluster.prices import FRESH_SECONDS, PriceReader

GOOD = "currency: USD\nsource: mine\nnodes: {a: {perHour: 1}}\n"


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "prices.yaml"


@pytest.fixture
def reader(file, now):
    return PriceReader(str(file), clock=lambda: now[0])


def test_no_file_and_no_setting_mean_no_prices(reader):
    assert not reader.look()
    assert not PriceReader("", clock=lambda: 0).look()


def test_a_file_that_comes_changes_breaks_and_goes_is_followed(reader, file, now):
    def look():
        now[0] += FRESH_SECONDS
        return reader.look(), reader.prices and reader.prices.source, reader.fault

    look()
    file.write_text(GOOD)
    assert look() == (True, "mine", "")
    file.write_text(GOOD.replace("mine", "newer"))
    assert look() == (True, "newer", "")
    file.write_text(GOOD.replace("USD", "x"))
    given, source, fault = look()
    assert (given, source) == (True, None)
    assert fault.startswith("the list of prices is wrong at currency")
    file.unlink()
    assert look() == (False, None, "")


def test_it_is_not_read_again_at_once(reader, file, now):
    file.write_text(GOOD)
    assert reader.look()
    file.write_text(GOOD.replace("mine", "newer"))
    reader.look()
    assert reader.prices.source == "mine"


def test_a_file_that_cannot_be_read_leaves_what_is_known(reader, file, now):
    file.write_text(GOOD)
    reader.look()
    file.unlink()
    file.mkdir()
    now[0] += FRESH_SECONDS
    assert reader.look()
    assert reader.prices.source == "mine"
