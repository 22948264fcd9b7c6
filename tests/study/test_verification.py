"""Verification: whatever was changed in a stored journal is found, and the verdict says from which record on and where."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest

from jetfleet.broker.study.verification import StoredPart, verify
from jetfleet.schemas import chain, payload
from jetfleet.schemas.messages import Part

from .played import encoded, order, part, parts


def test_the_chain_is_what_the_page_says() -> None:
    value = sha256(b"r1").digest()
    assert chain.chain("r1", []) == value
    for record in (b"\x01", b"\x02"):
        value = sha256(value + record).digest()
    assert chain.chain("r1", [b"\x01", b"\x02"]) == chain.extended(chain.chain("r1", [b"\x01"]), [b"\x02"]) == value
    assert chain.extended(chain.UNKNOWN, [b"\x01"]) == chain.UNKNOWN


@pytest.mark.parametrize("cuts", [(), (1,), (2, 4)])
def test_a_journal_is_sound_however_it_was_cut(cuts: tuple[int, ...]) -> None:
    driver = order(3, fails=2)
    verdict = verify("r1", parts(driver, *cuts), driver.plan)
    assert verdict.flaw is None
    assert (verdict.status, verdict.records, verdict.chained) == ("sound", len(driver.journal), len(driver.journal))
    assert verdict.chain == chain.chain("r1", encoded(driver.journal))
    assert verdict.summary is not None and verdict.summary.status == "completed"


def test_what_two_owners_have_archived_may_overlap() -> None:
    driver = order(3, fails=2)
    records = encoded(driver.journal)
    assert verify("r1", [part(records, 0, 4), part(records, 2, 5), *parts(driver, 3)], driver.plan).sound


def test_each_byte_that_is_changed_is_found() -> None:
    driver = order(3, fails=1)
    (whole,) = parts(driver)
    assert whole.part is not None
    for number, record in enumerate(whole.part.records):
        for place in range(len(bytes(record))):
            damaged = bytearray(bytes(record))
            damaged[place] ^= 0x01
            raws = list(whole.part.records)
            raws[number] = msgspec.Raw(bytes(damaged))
            verdict = verify("r1", [StoredPart("HISTORY 7, entry 0", msgspec.structs.replace(whole.part, records=raws))])
            assert verdict.flaw is not None, (number, place)
            assert verdict.flaw.record <= number and verdict.flaw.place == "HISTORY 7, entry 0"


def test_the_flaw_is_behind_the_last_part_that_holds() -> None:
    driver = order(3, fails=2)
    first, second = parts(driver, 2)
    assert second.part is not None
    late = msgspec.structs.replace(driver.journal[3], at=driver.journal[3].at + 1)
    raws = [second.part.records[0], msgspec.Raw(msgspec.msgpack.encode(late)), *second.part.records[2:]]
    verdict = verify("r1", [first, StoredPart("HISTORY 9, entry 1", msgspec.structs.replace(second.part, records=raws))])
    assert verdict.flaw is not None
    assert (verdict.flaw.record, verdict.flaw.place) == (2, "HISTORY 9, entry 1")
    assert "among records 2 to 5" in verdict.flaw.what


def test_where_two_parts_disagree_the_record_is_named() -> None:
    driver = order(3, fails=2)
    records = encoded(driver.journal)
    other = [*records[:3], records[1], *records[4:]]
    verdict = verify("r1", [part(records, 0, 5), StoredPart("HISTORY 9, entry 0", part(other, 2, 5).part)])
    assert verdict.flaw is not None and verdict.flaw.record == 3
    assert verdict.flaw.place == "HISTORY 1, entry 0 and HISTORY 9, entry 0"


@pytest.mark.parametrize(
    ("left", "missing"), [([1], "records 0 to 1 are missing"), ([0, 2], "records 2 to 3 are missing"), ([0, 1], "4 to 5")]
)
def test_records_that_are_missing_are_told(left: list[int], missing: str) -> None:
    driver = order(3, fails=2)
    there = parts(driver, 2, 4)
    verdict = verify("r1", [there[number] for number in left], expected=len(driver.journal))
    assert verdict.flaw is not None and missing in verdict.flaw.what


def test_records_in_another_order_are_told() -> None:
    driver = order(3, fails=1)
    (whole,) = parts(driver)
    assert whole.part is not None
    swapped = [whole.part.records[0], whole.part.records[2], whole.part.records[1], *whole.part.records[3:]]
    assert verify("r1", [StoredPart("x", msgspec.structs.replace(whole.part, records=swapped))]).status == "broken"


def test_what_is_of_another_run_or_no_part_at_all_is_told() -> None:
    driver = order(3)
    (whole,) = parts(driver)
    assert "another run" in str(verify("r2", [whole]).flaw)
    assert "cannot be read: 3 bytes" in str(verify("r1", [StoredPart("x", None, "3 bytes")]).flaw)


def test_an_end_to_which_the_records_do_not_lead_is_told() -> None:
    driver = order(3)
    (whole,) = parts(driver)
    assert whole.part is not None and whole.part.summary is not None
    for change, said in (
        ({"status": "failed"}, "lead to completed"),
        ({"output": payload.encode(4)}, "another output"),
        ({"ended_at": 1}, "end at"),
    ):
        ended = msgspec.structs.replace(whole.part.summary, **change)
        verdict = verify("r1", [StoredPart("x", msgspec.structs.replace(whole.part, summary=ended))], driver.plan)
        assert said in str(verdict.flaw)


def test_parts_from_before_there_were_chains_are_not_chained_and_not_broken() -> None:
    driver = order(3, fails=2)
    records = [msgspec.Raw(record) for record in encoded(driver.journal)]
    old = [StoredPart("a", Part("r1", 0, records[:2])), StoredPart("b", Part("r1", 2, records[2:]))]
    verdict = verify("r1", old, driver.plan)
    assert (verdict.status, verdict.sound, verdict.chained) == ("not chained", True, 0)
    assert verify("r1", [old[0], *parts(driver, 2)[1:]]).status == "sound", "a later value covers what is before it"


def test_what_a_newer_version_has_written_is_refused_by_its_record() -> None:
    driver = order(3)
    unknown = msgspec.Raw(msgspec.msgpack.encode([99, "r1", 1]))
    records = [msgspec.Raw(encoded(driver.journal)[0]), unknown]
    flaw = verify("r1", [StoredPart("x", Part("r1", 0, records))]).flaw
    assert flaw is not None and flaw.record == 1
