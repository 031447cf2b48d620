# The hnsw index after a crash under concurrent inserts, deletes, vacuums and scans, and
# the same index on a standby.
use strict;
use warnings;
use RagNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = RagNode->make(
	'primary',
	init => { allows_streaming => 1 },
	conf => [
		'autovacuum = off', 'jit = off', 'max_connections = 20', 'shared_buffers = 8MB',
		'checkpoint_timeout = 1h', 'wal_consistency_checking = generic', 'max_wal_size = 4GB', 'wal_keep_size = 4GB'
	]);

$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION rag;
	CREATE FUNCTION random_vector(dimensions int) RETURNS vector LANGUAGE sql VOLATILE AS
		'SELECT array_agg(random() - 0.5)::vector FROM generate_series(1, dimensions)';
	CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, val vector(12)) WITH (vacuum_truncate = off);
	INSERT INTO t (val) SELECT random_vector(12) FROM generate_series(1, 2000);
	CREATE INDEX t_idx ON t USING hnsw (val vector_l2_ops);
	CREATE TABLE large (id bigint GENERATED ALWAYS AS IDENTITY, val vector(2500)) WITH (vacuum_truncate = off);
	INSERT INTO large (val) SELECT random_vector(2500) FROM generate_series(1, 20);
	CREATE INDEX large_idx ON large USING hnsw (val vector_cosine_ops);
	CREATE INDEX large_l1_idx ON large USING hnsw (val vector_l1_ops);
	CREATE TABLE coded (id bigint GENERATED ALWAYS AS IDENTITY, val vector(64)) WITH (vacuum_truncate = off);
	INSERT INTO coded (val) SELECT random_vector(64) FROM generate_series(1, 200);
	CREATE INDEX coded_idx ON coded USING hnsw (val vector_cosine_ops) WITH (m = 3);
	CREATE UNLOGGED TABLE u (id int, val vector(3));
	INSERT INTO u SELECT i, ARRAY[i, 1, 1]::vector FROM generate_series(1, 100) i;
	CREATE INDEX u_idx ON u USING hnsw (val vector_l2_ops);
});
my $standby = RagNode->make_standby('standby', $node);

# The share of the ten rows found in 20 queries that are as near as the nearest ten (which
# duplicates make more than ten).
my $recall = q{
	SET max_parallel_workers_per_gather = 0;
	WITH q AS MATERIALIZED (
		SELECT array_fill((i / 20.0 - 0.5)::real, ARRAY[12])::vector AS val FROM generate_series(1, 20) i),
	exact AS MATERIALIZED (SELECT q.val, (SELECT max(d) FROM (
		SELECT (t.val <-> q.val) + 0 AS d FROM t ORDER BY 1 LIMIT 10) s) AS farthest FROM q)
	SELECT round(count(*) FILTER (WHERE d <= farthest) / 200.0, 2) FROM exact, LATERAL (
		SELECT t.val <-> exact.val AS d FROM t ORDER BY t.val <-> exact.val LIMIT 10) s};
# Every row is in the index, and once.
my $complete = q{
	SET enable_seqscan = off; SET hnsw.iterative_scan = relaxed_order;
	SET hnsw.max_scan_tuples = 1000000; SET hnsw.scan_mem_multiplier = 1000;
	SELECT count(*) = count(DISTINCT id) AND count(*) = (SELECT count(id + 0) FROM t)
	FROM (SELECT id FROM t ORDER BY val <-> array_fill(0::real, ARRAY[12])::vector) s};

sub check_node
{
	my ($checked, $state) = @_;
	is($checked->safe_psql('postgres', "SELECT * FROM rag.hnsw_check('t_idx')"), '',
		"$state: t_idx is sound");
	is($checked->safe_psql('postgres', "SELECT * FROM rag.hnsw_check('large_idx')"), '',
		"$state: large_idx is sound");
	is($checked->safe_psql('postgres', "SELECT * FROM rag.hnsw_check('large_l1_idx')"), '',
		"$state: large_l1_idx is sound");
	is($checked->safe_psql('postgres', "SELECT * FROM rag.hnsw_check('coded_idx')"), '',
		"$state: coded_idx is sound");
	is($checked->safe_psql('postgres', $complete), 't', "$state: each row is in the index once");
	my $share = $checked->safe_psql('postgres', $recall);
	cmp_ok($share, '>=', 0.9, "$state: recall $share");
}

check_node($node, 'at first');

my @scripts = (
	"INSERT INTO t (val) SELECT random_vector(12) FROM generate_series(1, 5);\n",
	"INSERT INTO t (val) SELECT val FROM t WHERE id % 50 = 1 ORDER BY id LIMIT 20;\n",
	"DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT 5);\n",
	"UPDATE t SET val = random_vector(12) WHERE id = (SELECT id FROM t ORDER BY random() LIMIT 1);\n",
	"SELECT id FROM t ORDER BY val <-> random_vector(12) LIMIT 10;\n",
	"VACUUM t;\n",
	"INSERT INTO large (val) SELECT random_vector(2500);\n",
	"DELETE FROM large WHERE id IN (SELECT id FROM large ORDER BY random() LIMIT 1);\n",
	"VACUUM large;\n",
	"INSERT INTO coded (val) SELECT random_vector(64) FROM generate_series(1, 3);\n",
	"DELETE FROM coded WHERE id IN (SELECT id FROM coded ORDER BY random() LIMIT 3);\n",
	"VACUUM coded;\n");

for my $round (1 .. 3)
{
	my $load = RagNode->start_load($node, clients => 6, scripts => \@scripts);
	sleep 3;
	$node->stop('immediate');
	my $output = RagNode->end_load($load);
	unlike($output, qr/ERROR/, "crash $round: no statement failed before");
	$node->start;
	check_node($node, "after crash $round");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM u'), '0', 'the unlogged table was reset');
is($node->safe_psql('postgres', "SELECT * FROM rag.hnsw_check('u_idx')"), '', 'and its index');
$node->safe_psql('postgres', q{INSERT INTO u SELECT i, ARRAY[i, 1, 1]::vector FROM generate_series(1, 50) i});
is( $node->safe_psql('postgres', q{SET enable_seqscan = off; SELECT id FROM u ORDER BY val <-> '[7,1,1]' LIMIT 1}),
	'7', 'which is in use again');

# A standby that was there all the time, with consistency checking of each replayed page.
$node->wait_for_catchup($standby);
check_node($standby, 'standby');
my $answer = q{SET enable_seqscan = off; SET hnsw.ef_search = 20;
	SELECT string_agg(id::text, ' ') FROM (
		SELECT id FROM t ORDER BY val <-> array_fill(0.1::real, ARRAY[12])::vector LIMIT 50) s};
is( $standby->safe_psql('postgres', $answer), $node->safe_psql('postgres', $answer),
	'the standby gives the same answer');
unlike(slurp_file($standby->logfile), qr/inconsistent page/, 'every replayed page is that of the primary');

$standby->promote;
$standby->safe_psql('postgres', 'INSERT INTO t (val) SELECT random_vector(12) FROM generate_series(1, 200)');
check_node($standby, 'promoted');

done_testing();
