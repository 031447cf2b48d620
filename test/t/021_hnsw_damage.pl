# rag.hnsw_check names what is broken; scans and inserts survive it. Also what the build
# says when it runs out of memory, and that a running vacuum hides no row from a scan.
use strict;
use warnings;
use RagNode;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = RagNode->make('main', conf => [ 'autovacuum = off', 'jit = off', 'max_connections = 20' ]);
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION rag;
	CREATE TABLE t (id int, val vector(4));
	INSERT INTO t SELECT i, ARRAY[i, i % 3, i % 5, i % 7]::vector FROM generate_series(1, 500) i;
	CREATE INDEX t_idx ON t USING hnsw (val vector_l2_ops);
	CHECKPOINT;
});

# ---- damage, done to the file of a stopped server ----

# Offsets of the page layout: see src/hnsw/pages.h.
my ($block_size, $items) = (8192, 24);
my ($rows, $stamp, $level, $links_place, $value) = (0, 40, 49, 52, 64);    # in a node
my ($owner, $links) = (0, 16);    # in the tuple of its links
my $file = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('t_idx')");

sub read_at
{
	my ($at, $length) = @_;
	my $bytes;
	open my $handle, '<:raw', $file or die "$file: $!";
	seek $handle, $at, 0;
	read $handle, $bytes, $length;
	close $handle;
	return $bytes;
}

sub write_at
{
	my ($at, $bytes) = @_;
	open my $handle, '+<:raw', $file or die "$file: $!";
	seek $handle, $at, 0;
	print $handle $bytes;
	close $handle;
}

# Where an item of a block begins in the file.
sub item_at
{
	my ($block, $item) = @_;
	my $pointer = unpack 'V', read_at($block * $block_size + $items + 4 * ($item - 1), 4);
	return $block * $block_size + ($pointer & 0x7fff);
}

# The node of an item of block 1, and its links.
sub node_at { return item_at(1, @_); }

sub links_at
{
	my ($high, $low, $item) = unpack 'vvv', read_at(node_at(@_) + $links_place, 6);
	return item_at($high << 16 | $low, $item);
}

sub check_damage
{
	my ($name, $at, $bytes, $pattern) = @_;
	$node->stop;
	my $sound = read_at($at, length $bytes);
	write_at($at, $bytes);
	$node->start;
	like($node->safe_psql('postgres', "SELECT * FROM rag.hnsw_check('t_idx')"), $pattern, $name);
	my ($status) = $node->psql('postgres',
		q{SET enable_seqscan = off; SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> '[1,1,1,1]') s});
	isnt($status, 2, "$name: a scan does not bring the server down");
	$node->stop;
	write_at($at, $sound);
	$node->start;
	is($node->safe_psql('postgres', "SELECT * FROM rag.hnsw_check('t_idx')"), '', "$name: sound again");
}

my $link = unpack 'Q<', read_at(links_at(3) + $links, 8);
check_damage('a link to a removed node', links_at(3) + $links, pack('Q<', $link + 1),
	qr/1\|3\|link on level 0 leads to \(\d+,\d+\) version 1, where no node is/);
check_damage('a link to a block that is not there', links_at(3) + $links, pack('Q<', (77 << 32) | (1 << 16)),
	qr/1\|3\|link on level 0 leads to \(77,1\) version 0, where no node is/);
check_damage('a link to itself', links_at(3) + $links, pack('Q<', (1 << 32) | (3 << 16)),
	qr/1\|3\|node links to itself on level 0/);
check_damage('a row twice', node_at(4) + $rows, read_at(node_at(5) + $rows, 6),
	qr/1\|5\|row \(\d+,\d+\) is in the index twice/);
check_damage('a node of impossible shape', node_at(6) + $level, pack('C', 30), qr/1\|6\|node is malformed/);
check_damage('a node that does not prove itself', node_at(6) + $stamp, pack('V', 0), qr/1\|6\|node is malformed/);
check_damage('a value of other dimensions', node_at(7) + $value + 4, pack('v', 3),
	qr/1\|7\|value of the node cannot be read/);
check_damage('links of another node', links_at(8) + $owner, read_at(links_at(9) + $owner, 8),
	qr/1\|8\|links of the node cannot be read/);
check_damage('a place of links that is none', node_at(8) + $links_place, pack('vvv', 0, 0, 1),
	qr/1\|8\|links of the node cannot be read/);
check_damage('a page of no kind', 2 * $block_size - 8, pack('v', 99), qr/1\|\|page is of no known kind/);
check_damage('an entry point that is none', 24 + 16, pack('Q<', (1 << 32) | (4000 << 16)),
	qr/0\|\|entry point \(1,4000\) on level \d+ is not a node of that level/);

# ---- the notice of a build that goes on without memory ----

my ($status, $out, $err) = $node->psql('postgres',
	q{SET maintenance_work_mem = '1MB';
	INSERT INTO t SELECT i, ARRAY[i, i % 3, i % 5, i % 7]::vector FROM generate_series(501, 5000) i;
	CREATE INDEX small ON t USING hnsw (val vector_l2_ops)});
like($err, qr/NOTICE:  hnsw graph no longer fits into maintenance_work_mem after \d+ tuples/, 'notice');
like($err, qr/DETAIL:  Building will take significantly more time\./, 'its detail');
like($err, qr/HINT:  Increase maintenance_work_mem to speed up builds\./, 'its hint');
is($node->safe_psql('postgres', "SELECT * FROM rag.hnsw_check('small')"), '', 'the index is sound');

# ---- scans beside a vacuum ----

$node->safe_psql('postgres', q{
	CREATE TABLE s (id int, val vector(8)) WITH (vacuum_truncate = off);	-- trying to truncate waits for seconds
	INSERT INTO s SELECT i, (SELECT array_agg(random()) FROM generate_series(1, 8 + 0 * i))::vector
		FROM generate_series(1, 1000) i;
	CREATE TABLE stay AS SELECT * FROM s WHERE id % 10 = 0;
	ALTER TABLE stay ADD PRIMARY KEY (id);
	CREATE INDEX s_idx ON s USING hnsw (val vector_l2_ops);
	ALTER DATABASE postgres SET enable_seqscan = off;
	ALTER DATABASE postgres SET hnsw.ef_search = 100;
});
my $load = RagNode->start_load(
	$node,
	clients => 6,
	scripts => [
		# division by zero when a row that stays is not found by its own value
		"\\set i random(1, 100) * 10\n"
		  . "SELECT 1 / count(*) FROM (SELECT id FROM s ORDER BY val <-> (SELECT val FROM stay WHERE id = :i) LIMIT 1) x WHERE id = :i;\n",
		"DELETE FROM s WHERE id % 10 > 0 AND id IN (SELECT id FROM s ORDER BY random() LIMIT 100);\n",
		"INSERT INTO s SELECT 10 * i + 1, (SELECT array_agg(random()) FROM generate_series(1, 8 + 0 * i))::vector FROM generate_series(1, 50) i;\n",
		"VACUUM s;\n"
	]);
ok( $node->poll_query_until('postgres', q{SELECT idx_scan > 100 AND n_tup_ins > 1500 AND n_tup_del > 0 AND vacuum_count > 1
	FROM pg_stat_user_tables WHERE relname = 's'}),
	'there were scans, inserts, deletes and vacuums');
my $output = RagNode->end_load($load);
unlike($output, qr/ERROR/, 'no scan missed a row') or diag $output;
is($node->safe_psql('postgres', "SELECT * FROM rag.hnsw_check('s_idx')"), '', 'the index is sound after that');

$node->stop;
done_testing();
