/*
 * generate.h: what the forms of generate() share.
 *
 * All forms have the same arguments after the first: model, system, max_tokens,
 * temperature, top_p, top_k, min_p, seed, stop, options. NULL means the setting's value;
 * for seed a random one.
 */
#ifndef RAG_SQL_GENERATE_H
#define RAG_SQL_GENERATE_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "serve/client.h"
#include "sql/models.h"

/* Positions of the arguments. */
enum
{
	ARGUMENT_INPUT,
	ARGUMENT_MODEL,
	ARGUMENT_SYSTEM,
	ARGUMENT_MAX_TOKENS,
	ARGUMENT_TEMPERATURE,
	ARGUMENT_TOP_P,
	ARGUMENT_TOP_K,
	ARGUMENT_MIN_P,
	ARGUMENT_SEED,
	ARGUMENT_STOP,
	ARGUMENT_OPTIONS
};

/* Everything of a call but its messages. */
typedef struct GenerateCall
{
	CatalogModel *model;
	protocol_sampling sampling;
	int			priority;
	ClientText	stops[PROTOCOL_MAX_STOPS];
	uint32		stop_count;
	ClientText	system;			/* data is NULL without one */
} GenerateCall;

typedef struct MessageList
{
	ClientMessage *messages;
	uint32		count;
} MessageList;

/* Checks and takes the arguments. */
extern void GenerateTakeCall(FunctionCallInfo fcinfo, GenerateCall *call);

/* max_tokens, temperature ... options, stop. */
extern void SamplingTake(FunctionCallInfo fcinfo, GenerateCall *call);

/* The prompt as the user's message, after the call's system message. */
extern MessageList MessagesOfPrompt(const GenerateCall *call, Datum prompt);

/* A conversation: an array of objects with "role" and "content". */
extern MessageList MessagesOfJson(const GenerateCall *call, Jsonb *conversation);

/* The same, of an argument that may be json or jsonb. */
extern Jsonb *MessagesArgument(FunctionCallInfo fcinfo);

/* Sends it; returns the request's number. */
extern uint32 GenerateSend(ClientSession *session, const GenerateCall *call, const MessageList *list,
						   bool stream);

#endif							/* RAG_SQL_GENERATE_H */
