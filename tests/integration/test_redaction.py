"""The rules of redaction in Elasticsearch's ingest pipeline: the same table of samples as everywhere else."""

from __future__ import annotations

from elasticsearch import Elasticsearch

from shipper.index import pipelines
from tests.redaction_samples import HARMLESS, SECRET, expected_of, text_of


def redacted(search: Elasticsearch, texts: list[str], **more: object) -> list[str]:
    """The messages of documents that went through the pipeline's redaction."""
    documents = [{"_source": {"message": text, **more}} for text in texts]
    done = search.ingest.simulate(pipeline={"processors": list(pipelines.redaction())}, docs=documents)
    assert not [one["error"] for one in done["docs"] if "error" in one]
    return [one["doc"]["_source"]["message"] for one in done["docs"]]


def test_the_pipeline_redacts_as_the_emitters_do(search: Elasticsearch) -> None:
    assert redacted(search, [text_of(sample) for sample in SECRET]) == [expected_of(sample) for sample in SECRET]
    assert redacted(search, list(HARMLESS)) == list(HARMLESS)


def test_long_values_with_many_escapes_do_not_break_it(search: Elasticsearch) -> None:
    value = "'" + "it\\'s " * 4000 + "'"
    (message,) = redacted(search, [f"password = {value} and more " + "x" * 100_000])
    assert message.startswith("password = [redacted]")


def test_what_was_redacted_before_is_left_as_it_is(search: Elasticsearch) -> None:
    assert redacted(search, ["token=x"], **{pipelines.BODY: "x"}) == ["token=x"]
