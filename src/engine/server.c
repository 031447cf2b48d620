/*
 * server.c: frames from a socket to the engine and back.
 *
 * One loop: take what has arrived, compute one step, send what is ready; sleep only
 * when no step has anything to do.
 */
#include "engine/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)
#define READS 16				/* between two steps */
#define LOOKS 50				/* some 30 microseconds of them before sleeping */

/* Buffers grow for one huge frame, but keep no more than this for good. */
#define KEPT_BYTES (4 * 1024 * 1024)

/* What has arrived and is not a whole frame yet. */
typedef struct inbox
{
	char	   *data;
	size_t		length;
	size_t		capacity;
	bool		held;			/* some of it is for the next step */
} inbox;

typedef enum stream_state
{
	STREAM_OPEN, STREAM_CLOSED, STREAM_FAILED
} stream_state;

static bool
inbox_reserve(inbox *in, size_t capacity)
{
	char	   *data;

	if (in->capacity >= capacity)
		return true;
	data = realloc(in->data, capacity);
	if (data == NULL)
		return false;
	in->data = data;
	in->capacity = capacity;
	return true;
}

/* Hands whole frames to the engine, as many as it accepts. */
static bool
dispatch(engine *e, inbox *in, engine_error *error)
{
	size_t		offset = 0;
	protocol_header header;

	in->held = false;
	while (in->length - offset >= sizeof(header))
	{
		size_t		frame;

		if (!engine_accepts(e))
		{
			in->held = true;
			break;
		}
		memcpy(&header, in->data + offset, sizeof(header));
		if (header.length > PROTOCOL_MAX_PAYLOAD)
			return engine_fail(error, ENGINE_PROTOCOL, "a frame of %u bytes exceeds the limit of %u",
							   header.length, PROTOCOL_MAX_PAYLOAD);
		frame = sizeof(header) + header.length;
		if (in->length - offset < frame)
		{
			if (!inbox_reserve(in, frame + READ_BYTES))
				return engine_fail_memory(error, "a frame");
			break;
		}
		engine_submit(e, header.type, header.request, in->data + offset + sizeof(header),
					  header.length);
		offset += frame;
	}
	if (offset > 0)
		memmove(in->data, in->data + offset, in->length - offset);
	in->length -= offset;
	if (in->length == 0 && in->capacity > KEPT_BYTES)
	{
		free(in->data);
		memset(in, 0, sizeof(*in));
	}
	return true;
}

/* Takes what has arrived, within limits, without waiting. */
static stream_state
receive(engine *e, int fd, inbox *in, engine_error *error)
{
	if (!dispatch(e, in, error))
		return STREAM_FAILED;
	for (int reads = 0; reads < READS && !in->held; reads++)
	{
		ssize_t		n;

		if (!inbox_reserve(in, in->length + READ_BYTES))
		{
			engine_fail_memory(error, "a frame");
			return STREAM_FAILED;
		}
		n = read(fd, in->data + in->length, in->capacity - in->length);
		if (n == 0)
			return STREAM_CLOSED;
		if (n < 0)
		{
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return STREAM_OPEN;
			if (errno == ECONNRESET)
				return STREAM_CLOSED;
			engine_fail(error, ENGINE_IO, "could not read from the socket: %s", strerror(errno));
			return STREAM_FAILED;
		}
		in->length += (size_t) n;
		if (!dispatch(e, in, error))
			return STREAM_FAILED;
	}
	return STREAM_OPEN;
}

/* Sends what the socket takes, without waiting. *sent: bytes of the output that are gone already. */
static stream_state
deliver(engine *e, int fd, size_t *sent, engine_error *error)
{
	protocol_writer *out = engine_output(e);

	if (out->failed)
	{
		engine_fail_memory(error, "the answers");
		return STREAM_FAILED;
	}
	while (*sent < out->length)
	{
		ssize_t		n = write(fd, out->data + *sent, out->length - *sent);

		if (n > 0)
			*sent += (size_t) n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		else if (errno == EPIPE || errno == ECONNRESET)
			return STREAM_CLOSED;
		else if (errno != EINTR)
		{
			engine_fail(error, ENGINE_IO, "could not write to the socket: %s", strerror(errno));
			return STREAM_FAILED;
		}
	}
	/* moved rarely, so that a slow reader of much costs no more than a fast one */
	if (*sent > 0 && *sent >= out->length / 2)
	{
		memmove(out->data, out->data + *sent, out->length - *sent);
		out->length -= *sent;
		*sent = 0;
	}
	if (out->length == 0 && out->capacity > KEPT_BYTES)
	{
		free(out->data);
		out->data = NULL;
		out->capacity = 0;
	}
	return STREAM_OPEN;
}

/*
 * Waits until something arrives, an answer can be sent or a job is done. Who has got an answer often asks
 * again at once; to be woken from sleep takes longer than that, so a while is spent on looking.
 */
static void
wait_for_work(engine *e, int fd)
{
	struct pollfd events[2] = {
		{.fd = fd,.events = (short) (POLLIN | (engine_output(e)->length > 0 ? POLLOUT : 0))},
		{.fd = engine_wake_fd(e),.events = POLLIN},
	};

	for (int i = 0; i < LOOKS; i++)
	{
		if (poll(events, 2, 0) != 0)
			return;
		/* those who ask may need this very processor */
		sched_yield();
	}
	/* EINTR is as good as a wake-up */
	poll(events, 2, -1);
}

static void
say_hello(engine *e)
{
	protocol_writer *out = engine_output(e);
	const char *device = engine_device(e);

	protocol_begin(out, PROTOCOL_HELLO, 0);
	protocol_put_u32(out, PROTOCOL_VERSION);
	protocol_put_string(out, device, strlen(device));
	protocol_end(out);
}

bool
server_run(engine *e, int fd, engine_error *error)
{
	inbox		in = {0};
	size_t		sent = 0;
	stream_state state = STREAM_OPEN;
	int			flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return engine_fail(error, ENGINE_IO, "descriptor %d is no socket: %s", fd, strerror(errno));
	say_hello(e);
	while (state == STREAM_OPEN)
	{
		bool		busy;

		state = receive(e, fd, &in, error);
		if (state != STREAM_OPEN)
			break;
		busy = engine_step(e);
		state = deliver(e, fd, &sent, error);
		if (engine_device_lost(e) != NULL && state == STREAM_OPEN)
		{
			engine_fail(error, ENGINE_DIED, "%s", engine_device_lost(e));
			state = STREAM_FAILED;
		}
		if (!busy && !in.held && state == STREAM_OPEN)
			wait_for_work(e, fd);
	}
	free(in.data);
	return state == STREAM_CLOSED;
}
