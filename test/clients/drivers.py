"""pgvector-python with its drivers and object mappers, as their documentation uses them."""
import asyncio
import os

import numpy as np

from data import DIMENSIONS, QUERY, ROWS, TOPICS, VECTORS, cosine, check, l2, nearest, run

URL = f"postgresql://postgres@/{os.environ['PGDATABASE']}?host={os.environ['PGHOST']}"


def floats(value):
    """Of a vector, whichever class the client has for it."""
    return value.to_list() if hasattr(value, "to_list") else list(value)


def is_index_used(plan):
    return any("Index Scan using" in str(row) for row in plan)


def psycopg3():
    import psycopg
    from pgvector import Bit, HalfVector, SparseVector
    from pgvector.psycopg import register_vector

    db = psycopg.connect(URL, autocommit=True)
    db.execute("CREATE EXTENSION IF NOT EXISTS vector")
    register_vector(db)
    db.execute(f"CREATE TABLE psycopg3 (id int, topic text, v vector({DIMENSIONS}), h halfvec({DIMENSIONS}), "
               f"s sparsevec({DIMENSIONS}), b bit({DIMENSIONS}))")
    with db.cursor().copy("COPY psycopg3 FROM STDIN WITH (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "text", "vector", "halfvec", "sparsevec", "bit"])
        for i, v in enumerate(VECTORS):
            copy.write_row([i, TOPICS[i], np.array(v), HalfVector(v), SparseVector(v), Bit([x > 0 for x in v])])
    check(db.execute("SELECT count(*) FROM psycopg3").fetchone() == (ROWS,), "psycopg 3: binary COPY of all types")
    row = db.execute("SELECT v, h, s, b FROM psycopg3 WHERE id = 7", binary=True).fetchone()
    check(np.allclose(floats(row[0]), VECTORS[7]) and np.allclose(row[1].to_list(), VECTORS[7], atol=1e-3) and
          np.allclose(row[2].to_list(), VECTORS[7]), "psycopg 3: what is read is what was written, in binary")
    bits = db.execute("SELECT b::text FROM psycopg3 WHERE id = 7").fetchone()[0]
    check(bits == "".join("01"[x > 0] for x in VECTORS[7]), "psycopg 3: bits")
    db.execute("CREATE INDEX ON psycopg3 USING hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 64)")
    db.execute("SET enable_seqscan = off")
    db.execute("SET hnsw.ef_search = 100")
    query = np.array(QUERY, np.float32)
    found = [r[0] for r in db.execute("SELECT id FROM psycopg3 ORDER BY v <-> %s LIMIT 5", (query,)).fetchall()]
    check(found == nearest(l2), "psycopg 3: search by hnsw")
    check(is_index_used(db.execute("EXPLAIN SELECT id FROM psycopg3 ORDER BY v <-> %s LIMIT 5", (query,)).fetchall()),
          "psycopg 3: the index is used")
    found = [r[0] for r in db.execute("SELECT id FROM psycopg3 WHERE topic = 'odd' ORDER BY v <-> %s LIMIT 5",
                                      (query,)).fetchall()]
    check(found == nearest(l2, "odd"), "psycopg 3: search with a filter")
    mean = db.execute("SELECT avg(v) FROM psycopg3").fetchone()[0]
    check(np.allclose(floats(mean), np.mean(VECTORS, axis=0), atol=1e-5),
          "psycopg 3: average")
    db.close()


def psycopg2():
    import psycopg2
    from pgvector.psycopg2 import register_vector

    db = psycopg2.connect(URL)
    cursor = db.cursor()
    cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
    register_vector(db)
    cursor.execute(f"CREATE TABLE psycopg2 (id int, topic text, v vector({DIMENSIONS}))")
    cursor.executemany("INSERT INTO psycopg2 VALUES (%s, %s, %s)",
                       [(i, TOPICS[i], np.array(v)) for i, v in enumerate(VECTORS)])
    cursor.execute("CREATE INDEX ON psycopg2 USING ivfflat (v vector_cosine_ops) WITH (lists = 10)")
    cursor.execute("SET LOCAL enable_seqscan = off")
    cursor.execute("SELECT id FROM psycopg2 ORDER BY v <=> %s LIMIT 5", (np.array(QUERY),))
    check([r[0] for r in cursor.fetchall()] == nearest(cosine), "psycopg2: insert, ivfflat index, search")
    cursor.execute("SELECT id FROM psycopg2 WHERE topic = 'even' ORDER BY v <=> %s LIMIT 5", (np.array(QUERY),))
    check([r[0] for r in cursor.fetchall()] == nearest(cosine, "even"), "psycopg2: search with a filter")
    cursor.execute("SELECT v FROM psycopg2 WHERE id = 3")
    value = cursor.fetchone()[0]
    check(np.allclose(floats(value), VECTORS[3]), "psycopg2: read")
    db.commit()
    db.close()


def asyncpg():
    async def work():
        import asyncpg
        from pgvector.asyncpg import register_vector

        db = await asyncpg.connect(host=os.environ["PGHOST"], user="postgres", database=os.environ["PGDATABASE"])
        await db.execute("CREATE EXTENSION IF NOT EXISTS vector")
        await register_vector(db)
        await db.execute(f"CREATE TABLE asyncpg (id int, topic text, v vector({DIMENSIONS}))")
        await db.executemany("INSERT INTO asyncpg VALUES ($1, $2, $3)",
                             [(i, TOPICS[i], np.array(v)) for i, v in enumerate(VECTORS)])
        await db.execute("CREATE INDEX ON asyncpg USING hnsw (v vector_l1_ops)")
        await db.execute("SET enable_seqscan = off")
        rows = await db.fetch("SELECT id, v FROM asyncpg ORDER BY v <+> $1 LIMIT 5", np.array(QUERY))

        def l1(a, b):
            return sum(abs(x - y) for x, y in zip(a, b))

        check([r["id"] for r in rows] == nearest(l1), "asyncpg: insert, index, search")
        rows = await db.fetch("SELECT id FROM asyncpg WHERE topic = $2 ORDER BY v <+> $1 LIMIT 5", np.array(QUERY), "odd")
        check([r["id"] for r in rows] == nearest(l1, "odd"), "asyncpg: search with a filter")
        await db.close()

    asyncio.run(work())


def sqlalchemy():
    from pgvector.sqlalchemy import HALFVEC, Vector
    from sqlalchemy import Index, Integer, Text, create_engine, func, select, text
    from sqlalchemy.orm import Session, declarative_base, mapped_column

    engine = create_engine(f"postgresql+psycopg://postgres@/{os.environ['PGDATABASE']}?host={os.environ['PGHOST']}")
    base = declarative_base()

    class Item(base):
        __tablename__ = "sqlalchemy"
        id = mapped_column(Integer, primary_key=True)
        topic = mapped_column(Text)
        v = mapped_column(Vector(DIMENSIONS))
        h = mapped_column(HALFVEC(DIMENSIONS))
        __table_args__ = (Index("sqlalchemy_v", "v", postgresql_using="hnsw",
                                postgresql_with={"m": 16, "ef_construction": 64},
                                postgresql_ops={"v": "vector_cosine_ops"}),)

    with engine.begin() as db:
        db.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Item(id=i, topic=TOPICS[i], v=v, h=v) for i, v in enumerate(VECTORS))
        session.commit()
        session.execute(text("SET enable_seqscan = off"))
        found = session.scalars(select(Item.id).order_by(Item.v.cosine_distance(QUERY)).limit(5)).all()
        check(found == nearest(cosine), "SQLAlchemy: create, insert, index, search")
        found = session.scalars(select(Item.id).filter(Item.topic == "even")
                                .order_by(Item.v.cosine_distance(QUERY)).limit(5)).all()
        check(found == nearest(cosine, "even"), "SQLAlchemy: search with a filter")
        mean = session.scalars(select(func.avg(Item.v, type_=Vector(DIMENSIONS)))).first()
        check(np.allclose(floats(mean), np.mean(VECTORS, axis=0), atol=1e-5),
              "SQLAlchemy: average")
    engine.dispose()


def django():
    import django as framework
    from django.conf import settings
    from django.db import connection, migrations, models

    settings.configure(DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "USER": "postgres",
        "HOST": os.environ["PGHOST"]}}, INSTALLED_APPS=["django.contrib.postgres"], USE_TZ=True)
    framework.setup()
    from pgvector.django import CosineDistance, HnswIndex, VectorExtension, VectorField

    class Item(models.Model):
        topic = models.TextField()
        v = VectorField(dimensions=DIMENSIONS)

        class Meta:
            app_label = "clients"
            db_table = "django"
            indexes = [HnswIndex(name="django_v", fields=["v"], m=16, ef_construction=64,
                                 opclasses=["vector_cosine_ops"])]

    class Migration(migrations.Migration):
        initial = True
        operations = [VectorExtension()]

    state = migrations.state.ProjectState()
    with connection.schema_editor() as editor:
        Migration("initial", "clients").apply(state, editor)
    with connection.schema_editor() as editor:
        editor.create_model(Item)
    Item.objects.bulk_create([Item(id=i + 1, topic=TOPICS[i], v=v) for i, v in enumerate(VECTORS)])
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
    found = [i.id - 1 for i in Item.objects.order_by(CosineDistance("v", QUERY))[:5]]
    check(found == nearest(cosine), "Django: migrate, insert, index, search")
    found = [i.id - 1 for i in Item.objects.filter(topic="odd").order_by(CosineDistance("v", QUERY))[:5]]
    check(found == nearest(cosine, "odd"), "Django: search with a filter")
    connection.close()


run(psycopg3, psycopg2, asyncpg, sqlalchemy, django)
