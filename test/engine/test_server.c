/*
 * test_server.c: rag-engine as a process: its manners, and what it does with a broken stream.
 */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/protocol.h"

#define LLAMA "test/data/models/tiny-llama.gguf"

typedef struct process
{
	pid_t		pid;
	int			fd;
	FILE	   *log;			/* what it says on standard error */
	int			failed;			/* checks that had failed before */
} process;

/* A writable descriptor that the engine must not keep. */
static int	leaked = -1;

static process
start(void)
{
	const char *path = getenv("RAG_ENGINE") ? getenv("RAG_ENGINE") : "build/plain/rag-engine";
	int			fds[2];
	process		p = {.pid = -1,.fd = -1,.log = tmpfile(),.failed = tap_failed};

	if (p.log == NULL || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
	{
		tap_note("could not prepare to start %s: %s", path, strerror(errno));
		exit(1);
	}
	p.pid = fork();
	if (p.pid == 0)
	{
		dup2(fds[1], 0);
		dup2(fileno(p.log), 2);
		close(fds[0]);
		close(fds[1]);
		execl(path, path, "--threads", "1", "--max-batched-tokens", "64", (char *) NULL);
		fprintf(stderr, "could not start %s: %s\n", path, strerror(errno));
		fflush(stderr);
		_exit(127);
	}
	close(fds[1]);
	p.fd = fds[0];
	return p;
}

/* Its wait status after at most ten seconds, or after that of a kill. */
static int
wait_for(const process *p)
{
	int			status = 0;

	for (int i = 0; i < 1000; i++)
	{
		if (waitpid(p->pid, &status, WNOHANG) != 0)
			return status;
		usleep(10000);
	}
	tap_note("it went on for ten seconds and was killed");
	kill(p->pid, SIGKILL);
	waitpid(p->pid, &status, 0);
	return status;
}

/* What can be known of a process with which a check failed. */
static void
explain(process *p, int status)
{
	char		line[512];

	if (WIFSIGNALED(status))
		tap_note("the engine was ended by signal %d", WTERMSIG(status));
	else
		tap_note("the engine ended with status %d", WEXITSTATUS(status));
	rewind(p->log);
	while (fgets(line, sizeof(line), p->log))
		tap_note("it said: %.*s", (int) strcspn(line, "\n"), line);
}

/* The end of the stream, after which the process has to end with this status. */
static void
finish(process *p, int wanted, const char *name)
{
	int			status;

	close(p->fd);
	status = wait_for(p);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == wanted, "%s, with status %d", name, wanted);
	if (tap_failed > p->failed)
		explain(p, status);
	fclose(p->log);
}

static bool
read_all(int fd, void *data, size_t length)
{
	size_t		done = 0;

	while (done < length)
	{
		struct pollfd poll_fd = {.fd = fd,.events = POLLIN};
		ssize_t		n;

		if (poll(&poll_fd, 1, 60000) != 1)
			return false;
		n = read(fd, (char *) data + done, length - done);
		if (n <= 0)
			return false;
		done += (size_t) n;
	}
	return true;
}

/* The next frame, its payload malloc'd with a final NUL; type 0 at the end of the stream. */
static protocol_header
next_frame(process *p, char **payload)
{
	protocol_header header = {0};

	*payload = NULL;
	if (!read_all(p->fd, &header, sizeof(header)) || header.length > (1 << 20))
		return (protocol_header) {0};
	*payload = calloc(1, header.length + 1);
	if (!read_all(p->fd, *payload, header.length))
		header.type = 0;
	return header;
}

static uint32_t
next_type(process *p)
{
	char	   *payload;
	protocol_header header = next_frame(p, &payload);

	free(payload);
	return header.type;
}

static void
put_generate(protocol_writer *w, uint64_t request, uint32_t max_tokens, uint32_t flags)
{
	protocol_sampling s = {.max_tokens = max_tokens,.top_p = 1,.repetition_penalty = 1,.flags = flags};

	protocol_begin(w, PROTOCOL_GENERATE, request);
	protocol_put_model(w, &(protocol_model) {LLAMA, sizeof(LLAMA) - 1, "{}", 2});
	protocol_put_caller(w, &(protocol_caller) {0});
	protocol_put_sampling(w, &s);
	protocol_put_messages(w, &(protocol_message) {"user", 4, "Hello", 5}, 1);
	protocol_end(w);
}

static void
test_conversation(void)
{
	process		p = start();
	protocol_writer w = {0};
	char	   *payload;
	protocol_header header;
	uint32_t	type;
	int			pieces = 0;

	header = next_frame(&p, &payload);
	ok(header.type == PROTOCOL_HELLO && header.request == 0 && header.length > 8 &&
	   *(uint32_t *) payload == PROTOCOL_VERSION, "the first frame says hello");
	free(payload);
	put_generate(&w, 7, 20, PROTOCOL_GENERATE_STREAM);
	/* a frame may arrive byte by byte */
	for (size_t i = 0; i < w.length; i++)
		if (write(p.fd, w.data + i, 1) != 1)
			break;
	while ((type = next_type(&p)) == PROTOCOL_PIECE)
		pieces++;
	ok(type == PROTOCOL_DONE && pieces > 5, "a request gets its pieces and its end");
	finish(&p, 0, "the end of the stream ends it");
	free(w.data);
}

static void
test_descriptors(void)
{
	process		p;
	char		path[64],
				target[256];
	bool		open_still = false;

	leaked = open("/dev/null", O_RDWR);
	p = start();
	next_type(&p);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int) p.pid, leaked);
	/* the number may be in use for something of its own */
	if (readlink(path, target, sizeof(target) - 1) > 0)
		open_still = strncmp(target, "/dev/null", 9) == 0;
	ok(!open_still, "inherited descriptors are closed");
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int) p.pid);
	close(leaked);
	leaked = open(path, O_RDONLY);
	memset(target, 0, sizeof(target));
	ok(leaked >= 0 && read(leaked, target, sizeof(target) - 1) > 0 && atoi(target) == 1000,
	   "it is the first for the out-of-memory killer");
	close(leaked);
	finish(&p, 0, "and it ends with the stream");
}

static void
test_broken(const char *name, const void *data, size_t length, int status)
{
	process		p = start();

	next_type(&p);
	if (write(p.fd, data, length) != (ssize_t) length)
		ok(false, "writing");
	/* it ends by itself, or at the end of the stream */
	finish(&p, status, name);
}

static void
test_broken_streams(void)
{
	protocol_header huge = {.length = UINT32_MAX,.type = PROTOCOL_EMBED};
	protocol_header half = {.length = 1000,.type = PROTOCOL_EMBED};
	char		noise[4096];
	uint32_t	seed = 1;

	for (size_t i = 0; i < sizeof(noise); i++)
	{
		seed = seed * 1664525 + 1013904223;
		noise[i] = (char) (seed >> 24);
	}
	test_broken("a frame beyond the limit ends it", &huge, sizeof(huge), 1);
	test_broken("half a frame before the end", &half, sizeof(half), 0);
	test_broken("half a header before the end", &half, 5, 0);
	test_broken("noise ends it", noise, sizeof(noise), 1);
}

static void
test_unknown_type(void)
{
	process		p = start();
	protocol_header frame = {.type = 999,.request = 3};
	protocol_header header;
	char	   *payload;

	next_type(&p);
	if (write(p.fd, &frame, sizeof(frame)) != (ssize_t) sizeof(frame))
		ok(false, "writing");
	header = next_frame(&p, &payload);
	ok(header.type == PROTOCOL_ERROR && header.request == 3, "an unknown type is answered by an error");
	free(payload);
	finish(&p, 0, "and the stream goes on to its end");
}

/* The other end goes away while the engine computes, and reads nothing of what it sends. */
static void
test_closed_midway(void)
{
	process		p = start();
	protocol_writer w = {0};

	next_type(&p);
	for (uint64_t i = 1; i <= 30; i++)
		put_generate(&w, i, 400, PROTOCOL_GENERATE_STREAM);
	if (write(p.fd, w.data, w.length) != (ssize_t) w.length)
		ok(false, "writing");
	next_type(&p);
	finish(&p, 0, "a stream that is closed midway ends it");
	free(w.data);
}

#define FLOOD 20000

/* Very many requests before the first answer is read: more answers than the socket holds. */
static void
test_slow_reader(void)
{
	process		p = start();
	protocol_writer w = {0};
	uint64_t	in_order = 0;

	next_type(&p);
	for (uint64_t i = 0; i < FLOOD; i++)
	{
		protocol_begin(&w, PROTOCOL_COUNT, i);
		protocol_put_model(&w, &(protocol_model) {LLAMA, sizeof(LLAMA) - 1, "{}", 2});
		protocol_put_caller(&w, &(protocol_caller) {0});
		protocol_put_string(&w, "Hello", 5);
		protocol_end(&w);
		/* the first loads the model: the others need not wait for it together */
		if (i == 0)
		{
			if (write(p.fd, w.data, w.length) == (ssize_t) w.length && next_type(&p) == PROTOCOL_COUNTED)
				in_order++;
			w.length = 0;
		}
	}
	for (size_t sent = 0; sent < w.length;)
	{
		ssize_t		n = write(p.fd, w.data + sent, w.length - sent);

		if (n <= 0)
			break;
		sent += (size_t) n;
	}
	while (in_order < FLOOD)
	{
		char	   *payload;
		protocol_header header = next_frame(&p, &payload);

		free(payload);
		if (header.type != PROTOCOL_COUNTED || header.request != in_order)
			break;
		in_order++;
	}
	ok(in_order == FLOOD, "%d requests before an answer is read: all are answered, in order", FLOOD);
	finish(&p, 0, "and the stream goes on to its end");
	free(w.data);
}

/* Processor time of the process, in ticks of the clock; -1 if it is not to be had. */
static long
ticks(const process *p)
{
	char		path[64];
	unsigned long user = 0,
				system_time = 0;
	FILE	   *file;
	int			found;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) p->pid);
	file = fopen(path, "r");
	if (file == NULL)
		return -1;
	found = fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
				   &system_time);
	fclose(file);
	return found == 2 ? (long) (user + system_time) : -1;
}

static void
test_idle(void)
{
	process		p = start();
	protocol_writer w = {0};
	long		before;
	long		used;

	next_type(&p);
	put_generate(&w, 1, 10, 0);
	if (write(p.fd, w.data, w.length) != (ssize_t) w.length)
		ok(false, "writing");
	while (next_type(&p) == PROTOCOL_PIECE)
		;
	/* threads may look for work a little longer */
	usleep(200000);
	before = ticks(&p);
	usleep(500000);
	used = ticks(&p) - before;
	ok(before >= 0 && used <= 1, "with nothing to do it uses no processor (%ld ticks)", used);
	finish(&p, 0, "and it ends with the stream");
	free(w.data);
}

static void
test_arguments(void)
{
	const char *path = getenv("RAG_ENGINE") ? getenv("RAG_ENGINE") : "build/plain/rag-engine";
	char		command[512];
	int			status;

	snprintf(command, sizeof(command), "%s --threads many </dev/null 2>/dev/null", path);
	status = system(command);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 2, "a wrong argument is refused");
	snprintf(command, sizeof(command), "%s --device cuda </dev/null 2>/dev/null", path);
	status = system(command);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 1, "a device that is not there is refused");
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_conversation();
	test_descriptors();
	test_broken_streams();
	test_unknown_type();
	test_closed_midway();
	test_slow_reader();
	test_idle();
	test_arguments();
	return tap_done();
}
