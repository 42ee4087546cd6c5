import pytest, time
from sqlalchemy import create_engine, text
@pytest.mark.parametrize("n", range(20))
def test_x(database_url, n):
    e = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with e.connect() as c:
        assert c.execute(text("select count(*) from tasker_tasks")).scalar()==0
        c.execute(text("select 1"))
    e.dispose()
