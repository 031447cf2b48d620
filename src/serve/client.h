/*
 * client.h: a backend's side of the models.
 *
 *     ClientSession *session = ClientOpen(PROTOCOL_EMBED, model->name);
 *     ClientSend(session, &request);			as many as wanted
 *     while (ClientReceive(session, &reply))	until all are answered
 *         ...
 *     ClientClose(session);
 *
 * Requests and replies are typed and hold text in the server's encoding: callers know
 * nothing of channels, frames or processes, so that another provider of models can
 * stand behind the same calls.
 *
 * Every wait is interruptible. What an engine reports is raised as an error. A session
 * that is not closed is closed by the end, or the abort, of what it was opened in
 * (subtransaction, portal, transaction, process), and what it left running is
 * cancelled.
 */
#ifndef RAG_SERVE_CLIENT_H
#define RAG_SERVE_CLIENT_H

#include "engine/protocol.h"

typedef struct ClientSession ClientSession;

/* A model as its catalog row has it. */
typedef struct ClientModel
{
	const char *name;
	const char *uri;
	const char *options;		/* JSON object */
} ClientModel;

typedef struct ClientText
{
	const char *data;
	Size		length;
} ClientText;

typedef struct ClientMessage
{
	ClientText	role;
	ClientText	content;
} ClientMessage;

typedef struct ClientRequest
{
	protocol_type type;			/* LOAD, UNLOAD, EMBED, COUNT, GENERATE, STATS, VECTORS or NEAREST */
	const ClientModel *model;	/* NULL for the last three */
	int			priority;		/* GENERATE; others have that of rag.priority */
	uint32		flags;			/* EMBED: PROTOCOL_EMBED_* */
	uint32		dimensions;		/* EMBED: 0 for all */
	uint32		text_count;		/* EMBED: any number; COUNT: 1 */
	const ClientText *texts;
	const protocol_sampling *sampling;	/* GENERATE; its stop strings are not used */
	uint32		stop_count;		/* GENERATE: at most PROTOCOL_MAX_STOPS */
	const ClientText *stops;
	uint32		message_count;	/* GENERATE */
	const ClientMessage *messages;
	uint64		set;			/* VECTORS, NEAREST: its name */
	uint32		distance;		/* VECTORS, and with it dimensions and k */
	uint32		k;
	uint32		row_count;		/* NEAREST */
	const float *rows;			/* [row_count, dimensions] */
} ClientRequest;

/* What it points to lives until the next call on the session. */
typedef struct ClientReply
{
	uint32		request;		/* as ClientSend numbered it */
	protocol_type type;			/* LOADED, VECTOR, COUNTED, PIECE, STATISTICS, NEIGHBOURS or DONE; see ClientTryOpen */
	uint32		index;			/* VECTOR: of which text; NEIGHBOURS: of the first row */
	uint32		count;			/* VECTOR, NEIGHBOURS: elements */
	const char *values;			/* VECTOR: float4, NEIGHBOURS: uint32; not aligned */
	uint64		tokens;			/* COUNTED */
	ClientText	text;			/* PIECE, STATISTICS, ERROR */
	protocol_model_info info;	/* LOADED */
	protocol_usage usage;		/* DONE */
} ClientReply;

/* The most requests that a session may have open at a time. */
#define CLIENT_MAX_OPEN 256

extern ClientSession *ClientOpen(protocol_type type, const char *model);

/*
 * For a caller who can do without: NULL when there is no free channel or no worker, and what fails later is a
 * reply of the type ERROR instead of an error. Interrupts are served, and sessions ended, as ever.
 */
extern ClientSession *ClientTryOpen(protocol_type type, const char *model);

/* Returns the request's number: 1, 2 ... */
extern uint32 ClientSend(ClientSession *session, const ClientRequest *request);

/* The next reply to any of the open requests; false when none is open. */
extern bool ClientReceive(ClientSession *session, ClientReply *reply);

/* Requests that are not answered in full. */
extern uint32 ClientOpenCount(const ClientSession *session);

extern void ClientClose(ClientSession *session);

/*
 * Has the engine free the model's memory when the current (sub)transaction is committed and no
 * request uses it any more. A model that is used again is loaded again.
 */
extern void ClientUnloadAtCommit(const ClientModel *model);

/* Raises an error unless the module was preloaded. */
extern void ClientCheckPreloaded(void);

/* Changes whenever equal requests may get other answers than before. */
extern uint32 ClientModelsGeneration(void);

/* Has the worker end the engine, with what is running, and start another. */
extern void ClientRestartEngine(void);

#endif							/* RAG_SERVE_CLIENT_H */
