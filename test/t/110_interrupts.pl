# Cancel, statement_timeout and termination in every wait of a backend; nothing is left behind.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use RagServe;
use Test::More;

my $node = RagServe->make('main', conf => ['rag.max_channels = 4']);

# what has to be running before, and a statement that then waits
my %waits = (
	'an answer' => { statement => q{SELECT generate('hang')}, calls => 1 },
	'an answer to many requests' =>
	  { statement => q{SELECT generate(array_fill('hang'::text, ARRAY[300]))}, calls => 1 },
	'an embedding' => { statement => q{SELECT embed('hang')}, calls => 1 },
	'the next piece of a stream' => { statement => q{SELECT generate_stream('hang')}, calls => 1 },
	'a free channel' => {
		before => [ (q{SELECT generate('hang')}) x 4 ],
		statement => q{SELECT generate('no room')},
		calls => 4
	},
	'room for the request' => {
		# the engine reads nothing; one large request fills what the worker holds for it
		before => [ q{SELECT generate('deaf 60000')}, q{SELECT length(generate(repeat('bytes', 1000000)))} ],
		statement => q{SELECT length(generate(repeat('bytes', 1000001)))},
		calls => 3,
		restart => 1
	});

# A backend's pid by its statement, once it waits.
sub waiting_pid
{
	my ($statement) = @_;
	my $quoted = $statement =~ s/'/''/gr;
	my $query = "FROM pg_stat_activity WHERE query LIKE '%$quoted%' AND wait_event_type = 'Extension' AND pid <> pg_backend_pid()";
	RagServe->poll($node, "SELECT count(*) > 0 $query", 't') or die "nobody waits in $statement";
	return $node->safe_psql('postgres', "SELECT max(pid) $query");
}

sub try_wait
{
	my ($what, $how, $expected) = @_;
	my $wait = $waits{$what};
	my @before;
	foreach my $statement (@{ $wait->{before} || [] })
	{
		push @before, RagServe->call($node, $statement);
		RagServe->wait_calls($node, scalar @before);
	}
	my $prefix = $how eq 'statement_timeout' ? "SET statement_timeout = '300ms'; " : '';
	my $call = RagServe->call($node, $prefix . $wait->{statement});
	if ($how ne 'statement_timeout')
	{
		my $pid = waiting_pid($wait->{statement});
		$node->safe_psql('postgres', "SELECT $how($pid)");
	}
	my ($out, $err) = RagServe->result($call);
	like($err, $expected, "$how while waiting for $what");
	$node->safe_psql('postgres',
		q{SELECT pg_cancel_backend(pid) FROM rag.stat_activity WHERE pid <> pg_backend_pid()});
	RagServe->result($_) for @before;
	RagServe->wait_calls($node, 0);
	$node->safe_psql('postgres', 'SELECT rag.restart_engine()') if $wait->{restart};
	is($node->safe_psql('postgres', q{SELECT generate('hello')}), 'hello', '... and the next call works');
}

foreach my $what (sort keys %waits)
{
	try_wait($what, 'pg_cancel_backend', qr/ERROR:  57014: canceling statement due to user request/);
	try_wait($what, 'pg_terminate_backend', qr/FATAL:  57P01: terminating connection due to administrator command/);
	try_wait($what, 'statement_timeout', qr/ERROR:  57014: canceling statement due to statement timeout/);
}

# -- a thousand calls that end too early, over four channels
my $aborted = $node->safe_psql('postgres', q{
	CREATE TABLE seen (n int);
	DO $$
	DECLARE
		n int := 0;
		piece text;
		stream refcursor;
	BEGIN
		FOR i IN 1 .. 1000 LOOP
			BEGIN
				-- an answer that is never read to its end, in a subtransaction that aborts
				OPEN stream FOR SELECT generate_stream('big 100');
				FETCH stream INTO piece;
				PERFORM 1 / (length(piece) - 1000);
			EXCEPTION WHEN division_by_zero THEN
				n := n + 1;
			END;
		END LOOP;
		INSERT INTO seen VALUES (n);
	END $$;
	SELECT n FROM seen});
is($aborted, 1000, 'a thousand aborted streams');
RagServe->wait_calls($node, 0);

is($node->safe_psql('postgres', q{
	DO $$
	DECLARE n int := 0;
	BEGIN
		FOR i IN 1 .. 1000 LOOP
			BEGIN
				PERFORM generate('fail 1');
			EXCEPTION WHEN invalid_parameter_value THEN
				n := n + 1;
			END;
		END LOOP;
		TRUNCATE seen;
		INSERT INTO seen VALUES (n);
	END $$;
	SELECT n FROM seen}), 1000, 'a thousand calls that fail');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM (SELECT (SELECT x FROM (SELECT generate_stream('big ' || i)) s (x) LIMIT 1)
	FROM generate_series(2, 1001) i) t}), 1000, 'a thousand streams that a LIMIT ends');

# four at a time, in one query, still work: none has leaked
is($node->safe_psql('postgres', q{
	BEGIN;
	DECLARE a CURSOR FOR SELECT generate_stream('big 3');
	DECLARE b CURSOR FOR SELECT generate_stream('big 3');
	DECLARE c CURSOR FOR SELECT generate_stream('big 3');
	DECLARE d CURSOR FOR SELECT generate_stream('big 3');
	MOVE 2 a; MOVE 2 b; MOVE 2 c; MOVE 2 d;
	SELECT count(*) FROM rag.stat_activity;
	COMMIT}), 4, 'all four channels are there');
RagServe->wait_calls($node, 0);

$node->stop;
done_testing();
