"""The workloads: which documents there are, and what every contender does to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.connection import Reader, Writer

COLLECTION = "users"
CREATED_IN = "user_stats"
MOST_WRITES = 499
"""Of one commit: a batch of ours, whose record makes it 500. The peers send the 500 that their documentation names."""

_TEXT = "The quick brown fox jumps over the lazy dog. " * 3
_MOST_BYTES = 3_000_000  # of one request; the emulator takes 4 MiB


@dataclass(frozen=True)
class Workload:
    """A number of documents, and one change of each.

    Attributes:
        name: on the command line.
        documents: how many.
        texts: of 135 bytes each, which make up most of a document.
        creates: whether a document is created beside each (of the kind of Recoup's v001), instead of two of its fields
            being changed.
    """

    name: str
    documents: int
    texts: int
    creates: bool = False

    @property
    def title(self) -> str:
        """What it is, for people."""
        what = "one document created beside each" if self.creates else "two fields changed in each"
        return f"{self.documents:,} documents of {1 if self.texts < 100 else 20} KB, {what}"

    def of(self, documents: int) -> Workload:
        """The same with another number of documents."""
        return replace(self, documents=documents)

    def load(self, writer: Writer) -> None:
        """Write the documents."""
        for batch in _requests(self._writes(writer)):
            writer.commit(batch, timeout=120)

    def is_done(self, reader: Reader, documents: int) -> bool:
        """Whether exactly so many documents were changed, or created."""
        request = wire.RunAggregationQueryRequest(parent=f"{reader.address.name}/documents")
        query = request.structured_aggregation_query
        query.aggregations.add(alias="n").count.SetInParent()
        query.structured_query.from_.add(collection_id=CREATED_IN if self.creates else COLLECTION)
        if not self.creates:
            condition = query.structured_query.where.field_filter
            condition.field.field_path = "tier"
            condition.op = wire.StructuredQuery.FieldFilter.EQUAL
            condition.value.string_value = "growth"
        answers = reader.stream("RunAggregationQuery", request, wire.RunAggregationQueryResponse, timeout=120)
        return sum(answer.result.aggregate_fields["n"].integer_value for answer in answers) == documents

    def change(self, write: Any, document: Any, root: str) -> None:
        """Make of an empty protobuf `Write` what a document comes to, with its precondition.

        Args:
            write: is filled.
            document: the protobuf `Document`.
            root: what a path of the database is appended to.
        """
        if self.creates:
            write.update.name = f"{root}{CREATED_IN}/{document.name.rsplit('/', 1)[-1]}"
            fields = write.update.fields
            fields["totalInvoices"].integer_value = 0
            fields["totalRevenue"].double_value = 0.0
            fields["averagePaymentTime"].double_value = 0.0
            fields["createdAt"].timestamp_value.seconds = 1_700_000_000
            write.current_document.exists = False
        else:
            write.update.name = document.name
            write.update.fields["tier"].string_value = "growth"
            write.update.fields["visits"].integer_value = 0
            write.update_mask.field_paths.extend(["tier", "visits"])
            write.current_document.update_time.CopyFrom(document.update_time)

    def _writes(self, writer: Writer) -> Iterator[bytes]:
        for number in range(self.documents):
            write = wire.Write()
            write.update.name = writer.full_name(f"{COLLECTION}/{number:08d}")
            fields = write.update.fields
            fields["tier"].string_value = "professional"
            fields["visits"].integer_value = number + 1
            fields["email"].string_value = f"user{number}@example.com"
            fields["created"].timestamp_value.seconds = 1_700_000_000 + number
            for index in range(self.texts):
                fields[f"text{index}"].string_value = _TEXT
            address = fields["address"].map_value.fields
            address["city"].string_value = "Berlin"
            address["zip"].string_value = f"{number % 100_000:05d}"
            yield write.SerializeToString()


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("small", 50_000, texts=5),
        Workload("large", 10_000, texts=140),
        Workload("creates", 50_000, texts=5, creates=True),
    )
}


def _requests(writes: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for write in writes:
        if batch and (len(batch) == MOST_WRITES or size + len(write) > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(write)
        size += len(write)
    if batch:
        yield batch
