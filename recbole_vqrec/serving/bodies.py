"""What the service reads and writes, with the bounds on its size; the source of the OpenAPI document."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from recbole_vqrec.inference.new_items import LONGEST_ID, LONGEST_TEXT

MOST_BYTES = 1 << 20  # of a request
ItemId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]


class Strict(BaseModel):
    """A body in which an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class RecommendRequest(Strict):
    """Histories, oldest item first."""

    histories: list[Annotated[list[ItemId], Field(max_length=1000)]] = Field(min_length=1, max_length=64)
    k: int = Field(10, ge=1, le=1000, strict=True)
    filter_seen: bool = True
    candidates: list[ItemId] | None = Field(None, max_length=10_000)
    unknown: Literal["skip", "error"] = "skip"

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"histories": [["B00006BBZQ", "B00006BBZT"]], "k": 5}]}
    )


class Item(BaseModel):
    """An item with its text."""

    item: str
    text: str


class ScoredItem(Item):
    """An item with its rank from 1 and its score."""

    rank: int
    score: float


class Recommendation(BaseModel):
    """The best items for one history; basis is "popularity" where it holds no known item."""

    basis: Literal["history", "popularity"]
    items: list[ScoredItem]


class RecommendResponse(BaseModel):
    """One recommendation a history, in order; how many item ids were not known and left out."""

    recommendations: list[Recommendation]
    unknown_items: int


class SimilarResponse(BaseModel):
    """Items by descending cosine."""

    items: list[ScoredItem]


class FoundResponse(BaseModel):
    """Items whose text or id holds what was searched for."""

    items: list[Item]


class AddRequest(Strict):
    """New items, id -> text."""

    items: dict[ItemId, Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]] = Field(
        min_length=1, max_length=100
    )

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"items": {"new-1": "Digital caliper, 150 mm, stainless steel"}}]},
    )


class CatalogueResponse(BaseModel):
    """What a change did, and how many items are recommended now."""

    changed: list[str]
    items: int


class HealthResponse(BaseModel):
    """The service is up, with this model."""

    status: Literal["ok"]
    model: str
    dataset: str
    items: int
    writable: bool


class ErrorResponse(BaseModel):
    """What is wrong with a request."""

    detail: str
