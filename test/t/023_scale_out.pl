# Data on other servers: what partitions with postgres_fdw are sent, and that the rows are right.
use strict;
use warnings;
use RagNode;
use PostgreSQL::Test::Utils;
use Test::More;

my @conf = ('autovacuum = off', 'jit = off');
my @shards = map { RagNode->make("shard$_", conf => \@conf) } 0, 1;
my $node = RagNode->make('main', conf => \@conf);
plan skip_all => 'postgres_fdw is not installed'
  if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) eq '0';

$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION rag;
	CREATE EXTENSION postgres_fdw;
	CREATE TABLE t (id int, tag text, v vector(6), h halfvec(6)) PARTITION BY HASH (id)});
foreach my $i (0, 1)
{
	$shards[$i]->safe_psql(
		'postgres', qq{
		CREATE EXTENSION rag;
		CREATE TABLE part (id int, tag text, v vector(6), h halfvec(6));
		CREATE INDEX part_v ON part USING hnsw (v vector_l2_ops);
		CREATE INDEX part_h ON part USING hnsw (h halfvec_cosine_ops);
		ALTER DATABASE postgres SET enable_seqscan = off;
		ALTER DATABASE postgres SET hnsw.ef_search = 200});
	my ($host, $port) = ($shards[$i]->host, $shards[$i]->port);
	$node->safe_psql(
		'postgres', qq{
		CREATE SERVER shard$i FOREIGN DATA WRAPPER postgres_fdw
			OPTIONS (host '$host', port '$port', dbname 'postgres', extensions 'rag', async_capable 'true');
		CREATE USER MAPPING FOR CURRENT_USER SERVER shard$i;
		CREATE FOREIGN TABLE t$i PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER $i)
			SERVER shard$i OPTIONS (table_name 'part')});
}
$node->safe_psql(
	'postgres', q{
	SELECT setseed(0.5);
	CREATE TABLE plain AS SELECT i AS id, 'tag' || i % 5 AS tag, a::vector(6) AS v, a::halfvec(6) AS h
		FROM generate_series(1, 2000) i, LATERAL (SELECT array_agg(random() - 0.5)::real[] AS a FROM generate_series(1, 6) WHERE i = i) s;
	INSERT INTO t SELECT * FROM plain});

sub remote_sql
{
	my ($query) = @_;
	return $node->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) $query");
}

# -- the nearest rows: order and limit are the shards' work, whose index finds them
foreach my $case (
	[ 'v', '<->', q{'[0.1,0.2,0.1,0,0,-0.1]'::vector} ],
	[ 'h', '<=>', q{'[0.1,0.2,0.1,0,0,-0.1]'::halfvec} ])
{
	my ($column, $operator, $value) = @$case;
	my $order = "ORDER BY $column $operator $value LIMIT 10";
	my $plan = remote_sql("SELECT id FROM t0 $order");
	my $sent = quotemeta "ORDER BY ($column OPERATOR(public.$operator) ";
	like($plan, qr/Remote SQL: .*$sent.* LIMIT 10/, "$operator: order and limit are sent to the server of a table");
	$plan = remote_sql("SELECT id FROM t $order");
	like($plan, qr/Merge Append.*Remote SQL: .*$sent.*Remote SQL: .*$sent/s, "$operator: the order is sent to each partition");
	like($shards[0]->safe_psql('postgres', "EXPLAIN SELECT id FROM part $order"), qr/Index Scan using part_$column/,
		'... where the index is used');
	is( $node->safe_psql('postgres', "SELECT string_agg(id::text, ' ') FROM (SELECT id FROM t $order) s"),
		$node->safe_psql('postgres', "SELECT string_agg(id::text, ' ') FROM (SELECT id FROM plain $order) s"),
		"$operator: the right rows in the right order");
}

# -- the same in a prepared statement, with its parameter sent along
is( $node->safe_psql('postgres', q{SET plan_cache_mode = force_generic_plan;
		PREPARE nearest (vector) AS SELECT string_agg(id::text, ' ') FROM (SELECT id FROM t ORDER BY v <-> $1 LIMIT 5) s;
		EXECUTE nearest('[0,0,0,0,0,0]'); EXECUTE nearest('[1,1,1,1,1,1]')}),
	$node->safe_psql('postgres', q{
		SELECT string_agg(id::text, ' ') FROM (SELECT id FROM plain ORDER BY v <-> '[0,0,0,0,0,0]' LIMIT 5) s;
		SELECT string_agg(id::text, ' ') FROM (SELECT id FROM plain ORDER BY v <-> '[1,1,1,1,1,1]' LIMIT 5) s}),
	'a parameter');

# -- filters with distances, and with other conditions, are the shards' work too
like(remote_sql(q{SELECT id FROM t0 WHERE v <-> '[0,0,0,0,0,0]' < 0.5 AND tag = 'tag1'}),
	qr/Remote SQL: .*WHERE .*\(v OPERATOR\(public\.<->\) .*\) < 0\.5/, 'a condition on a distance is sent');
is( $node->safe_psql('postgres', q{SELECT string_agg(id::text, ' ') FROM (SELECT id FROM t WHERE tag = 'tag1' ORDER BY v <-> '[0,0,0,0,0,0]' LIMIT 20) s}),
	$node->safe_psql('postgres', q{SELECT string_agg(id::text, ' ') FROM (SELECT id FROM plain WHERE tag = 'tag1' ORDER BY v <-> '[0,0,0,0,0,0]' LIMIT 20) s}),
	'a filter beside the search leaves no row out');

# -- averages are taken in parts
my $average = q{SELECT max(abs(a - b)) < 1e-6 FROM unnest((SELECT avg(v)::real[] FROM %s), (SELECT avg(v)::real[] FROM plain)) u(a, b)};
is($node->safe_psql('postgres', 'SET enable_partitionwise_aggregate = on; ' . sprintf($average, 't')), 't', 'the average over all partitions');
my $parallel = q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;};
like($node->safe_psql('postgres', "$parallel EXPLAIN SELECT avg(v), sum(h) FROM plain"),
	qr/Finalize Aggregate.*Gather.*Partial Aggregate/s, 'avg(vector) and sum(halfvec) in a parallel plan');
is($node->safe_psql('postgres', "$parallel " . sprintf($average, 'plain')), 't', '... give the average');

done_testing();
