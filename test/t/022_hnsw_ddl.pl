# Inserts, deletes and scans of hnsw indexes beside everything that replaces or empties them.
use strict;
use warnings;
use RagNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = RagNode->make('main', conf => [ 'autovacuum = off', 'jit = off', 'max_connections = 30', 'deadlock_timeout = 100ms' ]);
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION rag;
	CREATE FUNCTION random_vector() RETURNS vector LANGUAGE sql VOLATILE AS
		'SELECT array_agg(random() - 0.5)::vector FROM generate_series(1, 8)';
	CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, val vector(8));
	INSERT INTO t (val) SELECT random_vector() FROM generate_series(1, 500);
	CREATE INDEX t_idx ON t USING hnsw (val vector_l2_ops) WITH (m = 8, ef_construction = 24);
	CREATE INDEX t_id ON t (id);
	CREATE TABLE p (id bigint GENERATED ALWAYS AS IDENTITY, val vector(8)) PARTITION BY HASH (id);
	CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	CREATE INDEX p_idx ON p USING hnsw (val vector_l2_ops) WITH (m = 8, ef_construction = 24);
});

my @load = (
	"INSERT INTO t (val) SELECT random_vector() FROM generate_series(1, 3);\n",
	"INSERT INTO p (val) SELECT random_vector() FROM generate_series(1, 3);\n",
	"DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT 2);\n",
	"SELECT id FROM t ORDER BY val <-> random_vector() LIMIT 10;\n",
	"SELECT id FROM p ORDER BY val <-> random_vector() LIMIT 10;\n",
	"BEGIN; DECLARE c CURSOR FOR SELECT id FROM t ORDER BY val <-> random_vector(); FETCH 20 FROM c; FETCH 20 FROM c; COMMIT;\n");

sub sound
{
	my ($when) = @_;
	is($node->safe_psql('postgres', qq{SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid
		JOIN pg_am a ON a.oid = relam AND amname = 'hnsw' AND relkind = 'i', LATERAL rag.hnsw_check(indexrelid) h}),
		'0', "$when: the indexes are sound");
	is($node->safe_psql('postgres', q{
		SET enable_seqscan = off; SET enable_sort = off; SET hnsw.iterative_scan = relaxed_order;
		SET hnsw.max_scan_tuples = 1000000; SET hnsw.scan_mem_multiplier = 1000;
		SELECT (SELECT count(DISTINCT id) FROM (SELECT id FROM t ORDER BY val <-> '[0,0,0,0,0,0,0,0]') s) =
			(SELECT count(id + 0) FROM t)}), 't', "$when: every row is in the index");
}

# Runs statements one after the other beside the load; none of either may fail.
sub beside
{
	my ($what, @statements) = @_;
	my $load = RagNode->start_load($node, clients => 4, scripts => \@load);
	my $errors = '';
	foreach my $statement (@statements)
	{
		my ($code, $out, $err) = $node->psql('postgres', $statement);
		$errors .= $err if $code != 0;
	}
	my $output = RagNode->end_load($load);
	is($errors, '', "$what beside a load");
	unlike($output, qr/ERROR|FATAL|server closed/, "... which goes on");
	sound("after $what");
}

beside('REINDEX CONCURRENTLY', ('REINDEX INDEX CONCURRENTLY t_idx') x 3, 'REINDEX TABLE CONCURRENTLY p');
beside('REINDEX', ('REINDEX INDEX t_idx') x 5);
beside('TRUNCATE', ('TRUNCATE t') x 10);
beside('VACUUM FULL', ('VACUUM FULL t') x 3, 'CLUSTER t USING t_id', 'VACUUM t');
beside('creating and dropping', ('CREATE INDEX CONCURRENTLY t_other ON t USING hnsw (val vector_cosine_ops)',
	'DROP INDEX CONCURRENTLY t_other') x 3);
beside('vacuums at the same time', map { ('VACUUM t', 'VACUUM (INDEX_CLEANUP ON) p', 'VACUUM t') } 1 .. 5);
beside('partitions', 'CREATE TABLE p2 (LIKE p INCLUDING ALL)', 'DROP TABLE p2', 'ANALYZE p');

# What a failed statement has done is undone: the pages it added are there, its rows are not.
my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM t');
my ($code, $out, $err) = $node->psql('postgres', q{
	BEGIN; INSERT INTO t (val) SELECT random_vector() FROM generate_series(1, 300); SELECT 1 / 0});
like($err, qr/division by zero/, 'a transaction that fails after its inserts');
is($node->safe_psql('postgres', q{SET enable_seqscan = off; SET hnsw.max_scan_tuples = 1000000;
	SET hnsw.iterative_scan = relaxed_order; SET hnsw.scan_mem_multiplier = 1000;
	SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> '[0,0,0,0,0,0,0,0]') s}), $before, 'leaves no row');
sound('after it');

# A cancelled build leaves nothing behind. (A checkpoint removes what was dropped before.)
$node->safe_psql('postgres', 'CREATE TABLE big AS SELECT random_vector()::vector(8) AS val FROM generate_series(1, 20000)');
$node->safe_psql('postgres', 'CHECKPOINT');
my $files = q{SELECT count(*) FROM pg_ls_dir('base/' || (SELECT oid FROM pg_database WHERE datname = 'postgres'))};
$before = $node->safe_psql('postgres', $files);
($code, $out, $err) = $node->psql('postgres', q{SET statement_timeout = '200ms';
	CREATE INDEX big_idx ON big USING hnsw (val vector_l2_ops) WITH (ef_construction = 1000)});
like($err, qr/canceling statement due to statement timeout/, 'a build that is cancelled');
$node->safe_psql('postgres', 'CHECKPOINT');
is($node->safe_psql('postgres', $files), $before, '... leaves no file');

# Settings of a role and of a database, and what a plan that is kept does with the query.
is($node->safe_psql('postgres', q{
	CREATE ROLE searcher LOGIN; ALTER ROLE searcher SET hnsw.ef_search = 7;
	ALTER DATABASE postgres SET hnsw.max_scan_tuples = 12345; GRANT SELECT ON t TO searcher}), '', 'settings of a role and a database');
is($node->safe_psql('postgres', q{SELECT id FROM t ORDER BY val <-> '[0,0,0,0,0,0,0,0]' LIMIT 0; SHOW hnsw.ef_search; SHOW hnsw.max_scan_tuples},
	connstr => $node->connstr('postgres') . ' user=searcher'), "7\n12345", '... hold when the index is used');
is($node->safe_psql('postgres', q{
	SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_sort = off;
	PREPARE nearest (vector, int) AS SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> $1 LIMIT $2) s;
	EXECUTE nearest('[0,0,0,0,0,0,0,0]', 3); EXECUTE nearest('[1,0,0,0,0,0,0,0]', 5); EXECUTE nearest(NULL, 2)}), "3\n5\n2",
	'a generic plan searches for what it is given');
($code, $out, $err) = $node->psql('postgres', q{SET enable_seqscan = off; SET enable_sort = off;
	SELECT id FROM t ORDER BY val <-> '[1,2,3]' LIMIT 1});
like($err, qr/ERROR:  different vector dimensions 3 and 8/, 'a query of other dimensions is an error');

$node->stop;
done_testing();
