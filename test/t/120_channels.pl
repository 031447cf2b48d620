# More calls than channels; slow readers; large requests and answers beside small ones.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use RagServe;
use Test::More;

my $node = RagServe->make('main', conf => ['rag.max_channels = 2']);

# -- out of channels
my @calls = map { RagServe->call($node, q{SELECT generate('sleep 1500')}) } 1 .. 2;
RagServe->wait_calls($node, 2);
my ($out, $err) = RagServe->result(
	RagServe->call($node, q{SET rag.channel_timeout = 100; SELECT generate('x')}));
like($err, qr/ERROR:  53400: all 2 channels to the model worker are in use\n.*rag\.channel_timeout \(100 ms\)/s,
	'out of channels: an error after rag.channel_timeout');
like($err, qr/HINT:  Increase rag.max_channels/, '... with a hint');
($out, $err) = RagServe->result(
	RagServe->call($node, q{SET rag.channel_timeout = 0; SELECT generate('x')}));
like($err, qr/ERROR:  53400/, '... at once with rag.channel_timeout = 0');
($out, $err) = RagServe->result(RagServe->call($node, q{SELECT generate('waited')}));
is($out, 'waited', 'who waits long enough gets one');
is((RagServe->result($_))[0], 'sleep 1500', 'the others were not disturbed') for @calls;

# more callers than channels, all served
@calls = map { RagServe->call($node, "SELECT generate('sleep 20' || '') || '$_'") } 1 .. 12;
is(join(' ', map { (RagServe->result($_))[0] } @calls), join(' ', map { "sleep 20$_" } 1 .. 12),
	'twelve callers share two channels');

# -- a stream that nobody reads holds up nobody else: its answers wait in the worker
my $reader = $node->background_psql('postgres');
$reader->query_safe(q{BEGIN; DECLARE slow CURSOR FOR SELECT generate_stream('big 5000')});
is(length($reader->query_safe('FETCH 1 FROM slow')), 1000, 'the first piece of five million bytes');
is($node->safe_psql('postgres', q{SELECT count(generate('x')) FROM generate_series(1, 100)}), 100,
	'a hundred calls beside it do not wait for it');
is($node->safe_psql('postgres', q{SELECT request, model, requests, finished FROM rag.stat_activity}),
	'generate|g|1|0', 'rag.stat_activity shows the open one');
is($node->safe_psql('postgres', q{CREATE ROLE other; SET ROLE other;
		SELECT request, model IS NULL, usename IS NOT NULL FROM rag.stat_activity}), 'generate|t|t',
	'... to other roles without its model');
my $rest = $reader->query_safe('FETCH ALL FROM slow');
is(length($rest =~ s/\n//gr), 4999 * 1000, 'and then all the rest is there');
like($rest, qr/5000 +$/, '... to the last');
$reader->query_safe('COMMIT');

# a stream that its reader gives up is no longer held
$reader->query_safe(q{BEGIN; DECLARE slow CURSOR FOR SELECT generate_stream('big 5000')});
$reader->query_safe('FETCH 1 FROM slow');
$reader->query_safe('CLOSE slow');
is($reader->query_safe('SELECT count(*) FROM rag.stat_activity'), 0, 'a closed cursor gives its channel back');
$reader->query_safe('ROLLBACK');
$reader->quit;

# -- large requests, while small ones run
my $large = RagServe->call($node, q{SELECT generate('bytes' || repeat('x', 40000000))});
is($node->safe_psql('postgres', q{SELECT count(generate('x')) FROM generate_series(1, 100)}), 100,
	'small calls beside a request of 40 MB');
is((RagServe->result($large))[0], '40000005', 'which arrives whole');
($out, $err) = RagServe->result(RagServe->call($node, q{SELECT generate(repeat('x', 300000000))}));
like($err, qr/ERROR:  54000: request to the model is larger than 268435456 bytes/, 'one that is too large');
is($node->safe_psql('postgres', q{SELECT sum((v::real[])[1]) FROM unnest(embed(array_fill('abc'::text, ARRAY[20000]))) v}),
	'60000', 'twenty thousand texts in one request');
is($node->safe_psql('postgres',
		q{SELECT count(DISTINCT a) || ' ' || sum(length(a)) FROM unnest(generate(ARRAY(SELECT 'p' || i FROM generate_series(1, 1000) i))) a}),
	'1000 3893', 'a thousand prompts in one call');

$node->stop;
done_testing();
