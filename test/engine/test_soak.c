/*
 * test_soak.c: rag-engine as a process with 200 sessions at once, for a while.
 *
 * Each session asks, reads its answer or goes away in the middle, and asks again. Every answer
 * is that of the same request alone; every session gets on; the process does not grow. RAG_TEST_SOAK
 * is the number of seconds, 4 without it; a slower machine goes on until each session has an answer.
 */
#include "tap.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/protocol.h"

#define LLAMA "test/data/models/tiny-llama.gguf"
#define OPTIONS "{\"max_model_len\": 256, \"max_num_seqs\": 16, \"kv_cache_tokens\": 2048}"
#define BERT "test/data/models/tiny-bert"
#define SESSIONS 200
#define KINDS 40				/* different requests: every fifth embeds */
#define ANSWER_BYTES 2048
#define PATIENCE 50				/* answers for each session on average, before one without any is starved */

typedef struct session
{
	int			kind;
	uint32_t	round;			/* which of its requests runs: part of the number */
	int			finished;
	size_t		length;
	char		answer[ANSWER_BYTES];
} session;

typedef struct soak
{
	pid_t		pid;
	int			fd;
	protocol_writer out;
	char	   *in;
	size_t		in_length;
	size_t		in_capacity;
	session		sessions[SESSIONS];
	bool		known[KINDS];
	size_t		right_length[KINDS];
	char		right[KINDS][ANSWER_BYTES];
	uint32_t	seed;
	long		answers;
	long		wrong;
	long		errors;
	long		left;			/* requests that their session did not wait for */
} soak;

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
start(soak *s)
{
	const char *path = getenv("RAG_ENGINE") ? getenv("RAG_ENGINE") : "build/plain/rag-engine";
	int			fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		exit(1);
	s->pid = fork();
	if (s->pid == 0)
	{
		dup2(fds[1], 0);
		close(fds[0]);
		close(fds[1]);
		execl(path, path, "--threads", "2", "--max-batched-tokens", "64", "--progress", "20", (char *) NULL);
		_exit(127);
	}
	close(fds[1]);
	s->fd = fds[0];
}

/* Pages of the process in memory, as kB. */
static long
resident(const soak *s)
{
	char		path[64];
	long		pages = 0;
	FILE	   *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int) s->pid);
	f = fopen(path, "r");
	if (f == NULL || fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void
put_model(protocol_writer *w, const char *uri, const char *options)
{
	protocol_put_model(w, &(protocol_model) {uri, (uint32_t) strlen(uri), options, (uint32_t) strlen(options)});
}

static void
ask(soak *s, uint64_t request, int kind)
{
	protocol_writer *w = &s->out;
	protocol_caller caller = {.role = (uint32_t) kind % 3,.priority = kind % 7 - 3,
	.max_requests = kind % 3 == 1 ? 6 : 0,.max_tokens = kind % 3 == 2 ? 800 : 0};
	protocol_sampling sampling = {.max_tokens = 4 + (uint32_t) kind,.top_p = 1,.repetition_penalty = 1,
		.temperature = kind % 2 ? 0.8f : 0,.seed = (uint64_t) kind,
	.flags = kind % 4 < 2 ? PROTOCOL_GENERATE_STREAM : 0};
	char		text[600];
	int			n = snprintf(text, sizeof(text), "%sQuestion %d: where is the cat?",
							 kind % 3 ? "" : "You know all about the cat and the dog and the rain. ", kind);

	for (int i = 0; i < kind % 6; i++)
		n += snprintf(text + n, sizeof(text) - (size_t) n, " And then %d things happened to the dog.", i * kind);
	if (kind % 5 == 4)
	{
		protocol_begin(w, PROTOCOL_EMBED, request);
		put_model(w, BERT, "{\"overflow\": \"truncate\"}");
		protocol_put_caller(w, &caller);
		protocol_put_u32(w, PROTOCOL_EMBED_PLAIN);
		protocol_put_u32(w, 0);
		protocol_put_u32(w, 1);
		protocol_put_string(w, text, (size_t) n);
	}
	else
	{
		protocol_begin(w, PROTOCOL_GENERATE, request);
		put_model(w, LLAMA, OPTIONS);
		protocol_put_caller(w, &caller);
		protocol_put_sampling(w, &sampling);
		protocol_put_messages(w, &(protocol_message) {"user", 4, text, (uint32_t) n}, 1);
	}
	protocol_end(w);
}

static int
draw(soak *s, int limit)
{
	s->seed = s->seed * 1664525 + 1013904223;
	return (int) ((s->seed >> 8) % (uint32_t) limit);
}

/* The number of a session's request: an answer to an older one is told from it. */
static uint64_t
number_of(const soak *s, int i)
{
	return ((uint64_t) s->sessions[i].round << 16) | (uint64_t) i;
}

static void
next_request(soak *s, int i)
{
	session    *it = &s->sessions[i];

	it->round++;
	it->length = 0;
	it->kind = draw(s, KINDS);
	ask(s, number_of(s, i), it->kind);
}

static void
take_frame(soak *s, const protocol_header *header, const char *payload)
{
	int			i = (int) (header->request & 0xFFFF);
	session    *it = &s->sessions[i % SESSIONS];

	/* of a request that was left, or of no session */
	if (header->type == PROTOCOL_HELLO || header->type == PROTOCOL_PROGRESS || i >= SESSIONS ||
		header->request != number_of(s, i))
		return;
	if (header->type == PROTOCOL_PIECE || header->type == PROTOCOL_VECTOR)
	{
		size_t		room = ANSWER_BYTES - it->length;
		size_t		skip = header->type == PROTOCOL_PIECE ? 4 : 0;	/* a piece's length */
		size_t		n = header->length - skip < room ? header->length - skip : room;

		memcpy(it->answer + it->length, payload + skip, n);
		it->length += n;
		return;
	}
	if (header->type != PROTOCOL_DONE)
		s->errors++;
	else if (!s->known[it->kind])
	{
		s->known[it->kind] = true;
		memcpy(s->right[it->kind], it->answer, it->length);
		s->right_length[it->kind] = it->length;
	}
	else if (it->length != s->right_length[it->kind] ||
			 memcmp(it->answer, s->right[it->kind], it->length) != 0)
		s->wrong++;
	s->answers++;
	it->finished++;
	it->round++;
}

/* Sends and receives what is there, waiting if nothing is. */
static bool
exchange(soak *s)
{
	struct pollfd p = {.fd = s->fd,.events = (short) (POLLIN | (s->out.length > 0 ? POLLOUT : 0))};
	size_t		offset = 0;
	protocol_header header;
	ssize_t		n;

	if (poll(&p, 1, 60000) != 1)
		return false;
	if (p.revents & POLLOUT)
	{
		n = send(s->fd, s->out.data, s->out.length, MSG_DONTWAIT);
		if (n < 0)
			return false;
		memmove(s->out.data, s->out.data + n, s->out.length - (size_t) n);
		s->out.length -= (size_t) n;
	}
	if (!(p.revents & POLLIN))
		return true;
	if (s->in_capacity - s->in_length < 65536)
		s->in = realloc(s->in, s->in_capacity += 65536);
	n = read(s->fd, s->in + s->in_length, s->in_capacity - s->in_length);
	if (n <= 0)
		return false;
	s->in_length += (size_t) n;
	while (s->in_length - offset >= sizeof(header))
	{
		memcpy(&header, s->in + offset, sizeof(header));
		if (s->in_length - offset < sizeof(header) + header.length)
			break;
		take_frame(s, &header, s->in + offset + sizeof(header));
		offset += sizeof(header) + header.length;
	}
	memmove(s->in, s->in + offset, s->in_length - offset);
	s->in_length -= offset;
	return true;
}

/* What each request is answered alone. */
static bool
learn(soak *s)
{
	for (int kind = 0; kind < KINDS; kind++)
	{
		long		before = s->answers;

		s->sessions[0].length = 0;
		s->sessions[0].kind = kind;
		s->sessions[0].round++;
		ask(s, number_of(s, 0), kind);
		while (s->answers == before)
		{
			if (!exchange(s))
				return false;
		}
	}
	return s->errors == 0;
}

/* Answers of the session that has fewest. */
static int
fewest(const soak *s)
{
	int			n = s->sessions[0].finished;

	for (int i = 1; i < SESSIONS; i++)
		n = s->sessions[i].finished < n ? s->sessions[i].finished : n;
	return n;
}

/* All sessions at work for so many seconds at least; some leave what they asked for. */
static bool
work(soak *s, double duration)
{
	double		until = seconds() + duration;
	long		patience = s->answers + SESSIONS * PATIENCE;
	bool		asked[SESSIONS] = {false};
	uint32_t	asked_round[SESSIONS];

	while (seconds() < until || (fewest(s) == 0 && s->answers < patience))
	{
		for (int i = 0; i < SESSIONS; i++)
		{
			if (asked[i] && asked_round[i] == s->sessions[i].round)
			{
				if (draw(s, 2000) > 0)
					continue;
				protocol_begin(&s->out, PROTOCOL_CANCEL, number_of(s, i));
				protocol_end(&s->out);
				s->left++;
			}
			next_request(s, i);
			asked[i] = true;
			asked_round[i] = s->sessions[i].round;
		}
		if (!exchange(s))
			return false;
	}
	/* the rest is left by all at once */
	for (int i = 0; i < SESSIONS; i++)
	{
		protocol_begin(&s->out, PROTOCOL_CANCEL, number_of(s, i));
		protocol_end(&s->out);
		s->sessions[i].round++;
	}
	while (s->out.length > 0)
	{
		if (!exchange(s))
			return false;
	}
	return true;
}

int
main(void)
{
	const char *wanted = getenv("RAG_TEST_SOAK");
	bool		quick = getenv("RAG_TEST_QUICK") != NULL;
	double		duration = wanted && atof(wanted) > 0 ? atof(wanted) : quick ? 1 : 4;
	soak	   *s = calloc(1, sizeof(*s));
	long		before;
	long		after;
	int			status = -1;
	bool		good;

	s->seed = 7;
	start(s);
	ok(learn(s), "%d requests, one after the other", KINDS);
	good = work(s, duration / 2);
	before = resident(s);
	good = good && work(s, duration / 2);
	after = resident(s);
	ok(good && s->wrong == 0 && s->errors == 0, "%ld answers to %d sessions: %ld wrong, %ld errors, %ld left in the middle",
	   s->answers, SESSIONS, s->wrong, s->errors, s->left);
	ok(fewest(s) > 0, "each session got on: the last has %d answers", fewest(s));
	/* a sanitizer keeps what was freed */
	ok(quick || (before > 0 && after - before < 8192), "the process has grown by %ld kB", after - before);
	close(s->fd);
	ok(waitpid(s->pid, &status, 0) == s->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0,
	   "and ends with the stream");
	free(s->out.data);
	free(s->in);
	free(s);
	return tap_done();
}
