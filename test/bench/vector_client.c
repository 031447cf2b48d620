/*
 * vector_client.c: the client of the vector benchmark: one prepared query, over and over.
 *
 *     vector_client CONNINFO QUERIES SQL ROUNDS [SETTING]...
 *
 * QUERIES is a file: int32 count, int32 dimensions, then the float32 vectors. Each is sent as
 * the binary form of vector. Every SETTING is executed first. Each round sends all queries one
 * after the other; the best round counts, since other load can only slow a round down.
 *
 * Prints a line per query with the first column of its rows, then "wall NS cpu NS" a query (cpu: of
 * the backend, which must be on this machine, or -1).
 */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct vectors
{
	int32_t		count;
	int32_t		dimensions;
	size_t		size;			/* bytes of one, in the form that is sent */
	char	   *bytes;
} vectors;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "vector_client: %s: %s\n", what, why);
	exit(1);
}

static PGresult *
check(PGconn *connection, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		fail("query", PQerrorMessage(connection));
	return result;
}

static vectors
read_vectors(const char *path)
{
	vectors		v;
	FILE	   *file = fopen(path, "rb");

	if (file == NULL || fread(&v.count, 4, 1, file) != 1 || fread(&v.dimensions, 4, 1, file) != 1 ||
		v.count < 1 || v.dimensions < 1 || v.dimensions > 16000)
		fail(path, "no file of vectors");
	v.size = 4 + 4 * (size_t) v.dimensions;
	v.bytes = calloc((size_t) v.count, v.size);
	if (v.bytes == NULL)
		fail(path, "out of memory");
	for (int32_t i = 0; i < v.count; i++)
	{
		char	   *at = v.bytes + (size_t) i * v.size;
		uint16_t	dimensions = htons((uint16_t) v.dimensions);

		memcpy(at, &dimensions, 2);
		if (fread(at + 4, 4, (size_t) v.dimensions, file) != (size_t) v.dimensions)
			fail(path, "too short");
		for (int32_t j = 0; j < v.dimensions; j++)
		{
			uint32_t	word;

			memcpy(&word, at + 4 + 4 * j, 4);
			word = htonl(word);
			memcpy(at + 4 + 4 * j, &word, 4);
		}
	}
	fclose(file);
	return v;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

/* Nanoseconds that the backend has run. */
static double
backend_time(PGconn *connection)
{
	char		path[64];
	double		time = -1;
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", PQbackendPID(connection));
	file = fopen(path, "r");
	if (file != NULL)
	{
		if (fscanf(file, "%lf", &time) != 1)
			time = -1;
		fclose(file);
	}
	return time;
}

static void
print_rows(const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++)
		printf("%s%s", row > 0 ? " " : "", PQgetvalue(result, row, 0));
	putchar('\n');
}

typedef struct times
{
	double		wall;
	double		cpu;			/* negative: not known */
} times;

static times
run_round(PGconn *connection, const vectors *queries, bool print)
{
	double		cpu = backend_time(connection);
	double		wall = now();
	times		t;

	for (int32_t i = 0; i < queries->count; i++)
	{
		const char *value = queries->bytes + (size_t) i * queries->size;
		int			length = (int) queries->size;
		int			binary = 1;
		PGresult   *result = check(connection, PQexecPrepared(connection, "q", 1, &value, &length, &binary, 0));

		if (print)
			print_rows(result);
		PQclear(result);
	}
	t.wall = now() - wall;
	t.cpu = cpu < 0 ? -1 : backend_time(connection) - cpu;
	return t;
}

int
main(int argc, char **argv)
{
	PGconn	   *connection;
	PGresult   *result;
	vectors		queries;
	times		best;
	Oid			type;

	if (argc < 5)
		fail("usage", "vector_client CONNINFO QUERIES SQL ROUNDS [SETTING]...");
	queries = read_vectors(argv[2]);
	connection = PQconnectdb(argv[1]);
	if (PQstatus(connection) != CONNECTION_OK)
		fail("connection", PQerrorMessage(connection));
	for (int i = 5; i < argc; i++)
		PQclear(check(connection, PQexec(connection, argv[i])));
	result = check(connection, PQexec(connection, "SELECT 'vector'::regtype::oid"));
	type = (Oid) strtoul(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	PQclear(check(connection, PQprepare(connection, "q", argv[3], 1, &type)));

	best = run_round(connection, &queries, true);
	for (int round = 0; round < atoi(argv[4]); round++)
	{
		times		t = run_round(connection, &queries, false);

		if (round == 0)
			best = t;
		best.wall = t.wall < best.wall ? t.wall : best.wall;
		best.cpu = t.cpu < best.cpu ? t.cpu : best.cpu;
	}
	printf("wall %.0f cpu %.0f\n", best.wall / queries.count, best.cpu < 0 ? -1 : best.cpu / queries.count);
	PQfinish(connection);
	free(queries.bytes);
	return 0;
}
