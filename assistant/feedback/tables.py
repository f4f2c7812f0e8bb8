"""The two tables, as SQLAlchemy sees them; `migrations` makes them, version by version."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """What both tables share."""


class FeedbackRow(Base):
    """A `Feedback`."""

    __tablename__ = "feedback"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date] = mapped_column(index=True)
    kind: Mapped[str] = mapped_column(String(16))
    verdict: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str | None] = mapped_column(String(32))
    comment: Mapped[str] = mapped_column(Text)
    question: Mapped[str] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text)
    correction: Mapped[str] = mapped_column(Text)
    accepted: Mapped[bool]
    options: Mapped[list[str]] = mapped_column(JSON)
    history: Mapped[list[Any]] = mapped_column(JSON)
    modality: Mapped[str | None] = mapped_column(String(64))
    anatomy: Mapped[str | None] = mapped_column(String(64))
    confidence: Mapped[float | None] = mapped_column(Float)
    abstained: Mapped[bool]
    model: Mapped[str] = mapped_column(String(64))
    index: Mapped[str | None] = mapped_column("index_id", String(64))
    patient_key: Mapped[str | None] = mapped_column(String(32))
    study_key: Mapped[str | None] = mapped_column(String(32))
    pictures: Mapped[list[PictureRow]] = relationship(
        order_by="PictureRow.place", cascade="all, delete-orphan", passive_deletes=False
    )


class PictureRow(Base):
    """A `KeptPicture`."""

    __tablename__ = "feedback_picture"

    feedback_id: Mapped[str] = mapped_column(
        String(64), ForeignKey("feedback.id", ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[int] = mapped_column(primary_key=True)
    content_id: Mapped[str] = mapped_column(String(32), index=True)
    role: Mapped[str] = mapped_column(String(16))
    png: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
