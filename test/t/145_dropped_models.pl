# rag.drop_model() frees the engine's memory: at the commit, when no request uses the model.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use RagNode;
use RagServe;
use Test::More;

my $data = $ENV{RAG_TEST_DATA} || "$FindBin::RealBin/../data";
my $bert = "$data/models/tiny-bert";
my $llama = "$data/models/tiny-llama.gguf";
my $node = RagNode->make('main', preload => 1, conf => [ 'rag.threads = 2', 'rag.max_channels = 4', "rag.channel_timeout = '1s'",
	'max_prepared_transactions = 2' ]);
my $loaded = q{SELECT count(*) FROM jsonb_array_elements(rag.engine_statistics() -> 'models')};
my $names = q{SELECT string_agg(name, ' ' ORDER BY name) FROM rag.stat_model};

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub becomes { my ($count, $what) = @_; ok(RagServe->poll($node, $loaded, $count), $what); }
sub load
{
	sql(join ';', map { qq{SELECT rag.load_model('b$_', '$bert', options => '{"max_model_len": 6$_}', if_not_exists => true)} } 0 .. 3);
}

# -- at the commit, not before it, and of nothing that was rolled back
sql('CREATE EXTENSION rag');
load();
is(sql($loaded), 4, 'four models');
like(sql(qq{BEGIN; SELECT rag.drop_model('b0'); $loaded; ROLLBACK; SELECT rag.unload_model('b3'); $loaded}), qr/4\s+3$/,
	'a transaction that is rolled back drops nothing');
sql(q{BEGIN;
	SAVEPOINT a; SELECT rag.drop_model('b0'); ROLLBACK TO a;
	SAVEPOINT b; SELECT rag.drop_model('b1'); SAVEPOINT c; SELECT rag.drop_model('b2'); RELEASE c; RELEASE b;
	COMMIT});
becomes(1, 'those of subtransactions that were committed are gone');
is(sql($names), 'b0', '... and no other');
sql(q{DO $$ BEGIN PERFORM rag.drop_model('b0'); RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN END $$});
is(sql("SELECT vector_dims(embed('a', 'b0')) > 0; $loaded"), "t\n1", '... nor with an exception that was caught');

# -- all at once, with no more than one channel
load();
my @readers = map { $node->background_psql('postgres') } 1 .. 2;
sql(qq{SELECT rag.load_model('g', '$llama')});
$_->query_safe(q{BEGIN; DECLARE c CURSOR FOR SELECT generate_stream('x', 'g', max_tokens => 3); FETCH 1 FROM c}) for @readers;
sql(q{SELECT rag.drop_model(name) FROM rag.model WHERE name ~ '^b'});
becomes(1, 'four in one transaction');
is(sql($names), 'g', '... of two that others use one that is not dropped stays');

# -- with no channel free: the drop works, and says that the memory is not freed
load();
push @readers, map { $node->background_psql('postgres') } 1 .. 2;
$_->query_safe(q{BEGIN; DECLARE c CURSOR FOR SELECT generate_stream('x', 'g', max_tokens => 3); FETCH 1 FROM c}) for @readers[ 2 .. 3 ];
my ($code, $out, $err) = $node->psql('postgres', q{SELECT rag.drop_model('b0')});
is($code, 0, 'dropped while all channels are in use');
like($err, qr/WARNING:  model "b0" stays in the memory of the model engine.*HINT:  rag.restart_engine\(\) frees it/s, '... with a warning');
$_->query_safe('COMMIT') for @readers;
$_->quit for @readers;
RagServe->wait_calls($node, 0);
is(sql('SELECT count(*) FROM rag.stat_model WHERE name IS NULL'), 1, '... which is true');

# -- another name of the same model keeps it
sql(qq{SELECT rag.load_model('other', '$llama'); SELECT rag.drop_model('g')});
is(sql($names), 'b1 b2 b3 other', 'another name keeps a model');

# -- while it is used: the call runs to its end, then the memory goes
my $before = sql($loaded);
my $pieces = q{SELECT encode(convert_to(generate_stream('x', 'other', max_tokens => 30, temperature => 0), 'UTF8'), 'hex')};
my $text = join '', split /\n/, sql($pieces);
my $reader = $node->background_psql('postgres');
my $read = $reader->query_safe("BEGIN; DECLARE c CURSOR FOR $pieces; FETCH 1 FROM c");
sql(q{SELECT rag.drop_model('other')});
is(join('', split /\n/, "$read\n" . $reader->query_safe('FETCH ALL FROM c')), $text, 'a call runs to its end, though its model was dropped');
$reader->query_safe('COMMIT');
$reader->quit;
becomes($before - 1, '... and then the memory is free');

# -- an engine that has ended has nothing to free; two-phase commit does not
RagServe->kill_engine($node);
sql(q{SELECT rag.drop_model('b1')});
is(sql(q{SELECT vector_dims(embed('a', 'b2')) > 0}), 't', 'dropped while there is no engine');
is(sql($loaded), 1, '... and the next has what is used');
sql(q{BEGIN; SELECT rag.drop_model('b2'); PREPARE TRANSACTION 'x'});
sql(q{COMMIT PREPARED 'x'; SELECT rag.load_model('late', '} . $bert . q{'), rag.drop_model('late')});
becomes(1, 'a prepared transaction frees nothing, and leaves nothing behind for the next');
is(sql('SELECT count(*) FROM rag.stat_activity'), 0, 'no channel is left in use');
for (1 .. 20) { sql(q{SELECT rag.load_model('x', '} . $bert . q{'); SELECT rag.drop_model('x')}); }
becomes(1, '... after many drops either');

$node->stop;
done_testing();
