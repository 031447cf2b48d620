/*
 * nearest.c: sessions about vectors instead of models.
 *
 * The set of vectors is a request that stays open until the session is closed: so the engine frees it with
 * whatever ends the session.
 */
#include "postgres.h"

#include "serve/client.h"
#include "serve/nearest.h"
#include "serve/settings.h"

#define MAX_WAITING 2

struct NearestSession
{
	ClientSession *client;
	NearestShape shape;
	uint64		name;
	int			waiting;
	int			counts[MAX_WAITING];	/* of rows, the oldest first */
};

bool
NearestWanted(void)
{
	return rag_settings.gpu_index_build;
}

NearestSession *
NearestOpen(const NearestShape *shape, const char **reason)
{
	NearestSession *session = palloc0(sizeof(NearestSession));
	uint32		none;

	session->shape = *shape;
	session->client = ClientTryOpen(PROTOCOL_VECTORS, "");
	*reason = "there is no free channel to the model worker";
	if (session->client == NULL)
		return NULL;
	if (!pg_strong_random(&session->name, sizeof(session->name)))
		*reason = "could not generate a random number";
	else
	{
		ClientSend(session->client, &(ClientRequest) {
			.type = PROTOCOL_VECTORS,.set = session->name,.flags = PROTOCOL_VECTORS_DEDICATED,
			.distance = shape->distance,.dimensions = shape->dimensions,.k = shape->k});
		/* the answer to nothing tells whether there is a set */
		NearestSend(session, (const float[]) {0}, 0);
		*reason = NearestReceive(session, &none);
	}
	if (*reason == NULL)
		return session;
	NearestClose(session);
	return NULL;
}

void
NearestSend(NearestSession *session, const float *rows, int count)
{
	if (session->waiting == MAX_WAITING)
		elog(ERROR, "too many requests about vectors");
	session->counts[session->waiting++] = count;
	ClientSend(session->client, &(ClientRequest) {
		.type = PROTOCOL_NEAREST,.set = session->name,.dimensions = session->shape.dimensions,
		.row_count = count,.rows = rows});
}

const char *
NearestReceive(NearestSession *session, uint32 *numbers)
{
	uint64		total = (uint64) session->counts[0] * session->shape.k;
	uint64		received = 0;
	ClientReply reply;

	while (ClientReceive(session->client, &reply))
	{
		if (reply.type == PROTOCOL_ERROR)
			return pnstrdup(reply.text.data, reply.text.length);
		if (reply.type == PROTOCOL_DONE && received == total)
		{
			session->counts[0] = session->counts[1];
			session->waiting--;
			return NULL;
		}
		if (reply.type != PROTOCOL_NEIGHBOURS || reply.count > total - received ||
			(uint64) reply.index * session->shape.k != received)
			break;
		memcpy(numbers + received, reply.values, reply.count * sizeof(uint32));
		received += reply.count;
	}
	return "the model engine sent another answer than was asked for";
}

void
NearestClose(NearestSession *session)
{
	ClientClose(session->client);
	pfree(session);
}
