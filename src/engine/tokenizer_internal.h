/*
 * tokenizer_internal.h: what the files of the tokenizer share.
 *
 *     tokenizer.json, vocab.txt  ->
 *                                    tokenizer_source -> tokenizer -> tokenizer_run per call
 *     GGUF metadata              ->
 *
 * A source is a view of the model's files in one form; tokenizer_build copies what it
 * needs into tables. Everything below a tokenizer is read-only afterwards.
 */
#ifndef RAG_ENGINE_TOKENIZER_INTERNAL_H
#define RAG_ENGINE_TOKENIZER_INTERNAL_H

#include "engine/normalize.h"
#include "engine/pretokenize.h"
#include "engine/tokenizer.h"
#include "engine/tokenizer_buffer.h"
#include "engine/vocabulary.h"

typedef enum tokenizer_kind
{
	TOKENIZER_WORDPIECE,
	TOKENIZER_BPE,				/* a list of merges, over bytes or characters */
	TOKENIZER_SENTENCEPIECE,	/* BPE by scores: any two neighbours that make a token may merge */
	TOKENIZER_UNIGRAM
} tokenizer_kind;

typedef enum token_kind
{
	TOKEN_ABSENT,				/* a hole in the ids */
	TOKEN_NORMAL,
	TOKEN_BYTE,					/* <0x00> to <0xFF> of byte fallback */
	TOKEN_RESERVED				/* never made by the model: special and added tokens */
} token_kind;

/* ---------------------------------------------------------------------------
 * Sources
 * ---------------------------------------------------------------------------
 */
typedef struct source_token
{
	const char *text;
	size_t		length;
	double		score;
	token_kind	kind;
} source_token;

typedef struct source_merge
{
	const char *left;
	size_t		left_length;
	const char *right;
	size_t		right_length;
} source_merge;

/* A token that is cut out of a text before all else. */
typedef struct source_added
{
	int32_t		id;
	const char *text;
	size_t		length;
	bool		special;		/* found only when asked for (TOKENIZE_PARSE) */
	bool		normalized;		/* looked for in the normalised text */
	bool		single_word;	/* only where no word character touches it */
	bool		strip_left;		/* takes the white space before it */
	bool		strip_right;
} source_added;

/* What surrounds a text: tokens and the places of the texts. */
#define TEMPLATE_MAX_ITEMS 16

typedef struct template_item
{
	enum
	{
		TEMPLATE_TOKEN, TEMPLATE_A, TEMPLATE_B
	}			kind;
	int32_t		id;				/* of TEMPLATE_TOKEN */
	int32_t		type;			/* BERT token type */
} template_item;

typedef struct sequence_template
{
	template_item items[TEMPLATE_MAX_ITEMS];
	int			count;			/* 0: there is no such template */
} sequence_template;

#define SOURCE_MAX_ENDS 32
#define SOURCE_MAX_OWNED 24

typedef struct tokenizer_source
{
	tokenizer_kind kind;
	source_token *tokens;
	size_t		n_tokens;
	source_merge *merges;
	size_t		n_merges;
	source_added *added;
	size_t		n_added;

	normalizer	normal;
	pretokenizer pre;
	sequence_template single;
	sequence_template pair;

	bool		byte_level;		/* tokens are written in GPT-2's alphabet of bytes */
	bool		byte_fallback;
	bool		fuse_unknown;
	bool		whole_words;	/* a piece that is a token needs no merges */
	int32_t		unknown;		/* ids, or -1 */
	int32_t		bos;
	int32_t		eos;
	int32_t		ends[SOURCE_MAX_ENDS];
	int			n_ends;
	char		prefix[NORMALIZE_MAX_STRING];	/* WordPiece: of continuations, "##" */
	int			max_word;		/* WordPiece: characters */
	const char *chat_template;
	size_t		chat_template_length;

	void	   *owned[SOURCE_MAX_OWNED];	/* freed with the source: tokenizer_source_own */
	void		(*owned_free[SOURCE_MAX_OWNED]) (void *);
	int			n_owned;
} tokenizer_source;

/* An empty source; what it points to lives until tokenizer_source_free. */
extern void tokenizer_source_init(tokenizer_source *s);
extern void tokenizer_source_free(tokenizer_source *s);
/* The source frees pointer at its end (at once when that fails: then the result is NULL). */
extern void *tokenizer_source_own(tokenizer_source *s, void *pointer, void (*release) (void *));
extern bool tokenizer_source_add_end(tokenizer_source *s, int64_t id);

/* The texts of a folder's files; NULL for those that do not exist. */
typedef struct tokenizer_files
{
	const char *tokenizer_json;
	size_t		tokenizer_json_length;
	const char *tokenizer_config;	/* tokenizer_config.json */
	size_t		tokenizer_config_length;
	const char *generation_config;
	size_t		generation_config_length;
	const char *config;				/* config.json */
	size_t		config_length;
	const char *chat_template;		/* chat_template.jinja */
	size_t		chat_template_length;
	const char *vocab;				/* vocab.txt */
	size_t		vocab_length;
} tokenizer_files;

extern bool tokenizer_source_from_files(tokenizer_source *s, const tokenizer_files *files,
										engine_error *error);

/* The tokenizer.ggml.* entries of a GGUF file; ids are -1 when absent. */
typedef struct tokenizer_metadata
{
	model_string model;
	model_string pre;			/* length 0 when absent */
	const model_string *tokens;
	size_t		n_tokens;
	const float *scores;		/* NULL when absent */
	size_t		n_scores;
	const int32_t *types;		/* NULL when absent */
	size_t		n_types;
	const model_string *merges;
	size_t		n_merges;
	int64_t		bos, eos, unknown, separator, cls, eot, eom;
	int			add_bos, add_eos, add_space_prefix;	/* -1 when absent */
	model_string chat_template;
} tokenizer_metadata;

extern bool tokenizer_source_from_metadata(tokenizer_source *s, const tokenizer_metadata *meta,
										   engine_error *error);

/* ---------------------------------------------------------------------------
 * The tokenizer
 * ---------------------------------------------------------------------------
 */
typedef struct merge_entry
{
	int32_t		left;			/* -1: free place */
	int32_t		right;
	uint32_t	rank;
	int32_t		id;
} merge_entry;

typedef struct added_token
{
	int32_t		id;
	bool		special;
	bool		single_word;
	bool		strip_left;
	bool		strip_right;
} added_token;

enum
{
	TOKEN_IS_SPECIAL = 1,
	TOKEN_IS_END = 2,
	TOKEN_IS_BYTE = 4
};

typedef struct tokenizer_run tokenizer_run;

struct tokenizer
{
	tokenizer_kind kind;
	vocabulary	words;
	uint8_t    *flags;			/* [words.count] */
	bool		(*encode_piece) (tokenizer_run *run, const char *piece, size_t length);

	added_token *added;
	size_t		n_added;
	trie		added_raw;		/* values: places in added */
	trie		added_normalized;
	bool		any_raw;
	bool		any_normalized;

	normalizer	normal;
	pretokenizer pre;
	sequence_template single;
	sequence_template pair;

	trie		pieces;			/* WordPiece, Unigram */
	uint32_t	continuation;	/* WordPiece: the node of the prefix, 0 if no token has it */
	int			max_word;
	int			prefix_length;
	char		prefix[NORMALIZE_MAX_STRING];

	merge_entry *merges;		/* BPE: hashed by (left, right) */
	uint32_t	merges_mask;
	uint32_t   *ranks;			/* SentencePiece: by id; 0 is the best score */
	double	   *scores;			/* Unigram: by id */
	double		unknown_score;
	bool		before_space[256];	/* last bytes that U+2581 follows within some token */
	bool		cuts;			/* characters: bpe_segment_end may cut */

	bool		byte_level;
	bool		byte_fallback;
	bool		fuse_unknown;
	bool		whole_words;
	int32_t		byte_ids[256];	/* of single bytes, or of byte fallback; -1 if none */
	int32_t		unknown;
	int32_t		bos;
	int32_t		eos;
	char	   *chat_template;
	const atomic_bool *stop;	/* of a view; NULL: nobody stops its calls */
};

extern tokenizer *tokenizer_build(const tokenizer_source *s, engine_error *error);
/* For tests: as tokenizer_open does with a folder's files. */
extern tokenizer *tokenizer_open_files(const tokenizer_files *files, engine_error *error);

/* ---------------------------------------------------------------------------
 * One call
 * ---------------------------------------------------------------------------
 */
typedef struct bpe_symbol
{
	int32_t		id;				/* -1: not a token */
	int32_t		previous;
	int32_t		next;
	uint32_t	start;			/* bytes of the piece */
	uint32_t	length;			/* 0: merged into another */
} bpe_symbol;

typedef struct bpe_candidate
{
	uint32_t	rank;
	int32_t		left;			/* symbol */
	int32_t		id;				/* of the merged token */
	uint32_t	length;			/* of the two symbols when this was found */
} bpe_candidate;

typedef struct unigram_node
{
	double		score;
	int32_t		id;
	uint32_t	start;			/* UINT32_MAX: not reached */
} unigram_node;

struct tokenizer_run
{
	const tokenizer *t;
	engine_error *error;
	bool		continued;		/* the next text does not begin the whole */
	id_list		ids;
	text_buffer normal[2];
	text_buffer spaced;			/* metaspace, prefix space */
	bpe_symbol *symbols;
	size_t		n_symbols;
	size_t		symbols_capacity;
	bpe_candidate *heap;
	size_t		n_heap;
	size_t		heap_capacity;
	unigram_node *nodes;
	size_t		nodes_capacity;
};

extern void tokenizer_run_free(tokenizer_run *run);
/* False when somebody wants the call to stop. */
extern bool tokenizer_run_goes_on(const tokenizer_run *run);
/* Appends the ids of a text without what surrounds it. */
extern bool tokenizer_run_text(tokenizer_run *run, const char *text, size_t length, int flags);
extern bool tokenizer_run_emit(tokenizer_run *run, int32_t id);
extern bool tokenizer_run_unknown(tokenizer_run *run, const char *text, size_t length);

/* Added tokens: added.c. The next one in text[from, length); *start, *end with white space. */
typedef struct added_match
{
	size_t		start;
	size_t		end;
	const added_token *token;
} added_match;

extern bool added_build(tokenizer *t, const tokenizer_source *s, engine_error *error);
extern bool added_next(const tokenizer *t, const trie *tokens, const char *text, size_t length,
					   size_t from, bool parse, added_match *match);
extern const added_token *added_find(const tokenizer *t, const char *text, size_t length);

/* The models: build tables from the source; encode one piece. */
extern bool wordpiece_build(tokenizer *t, const tokenizer_source *s, engine_error *error);
extern bool bpe_build(tokenizer *t, const tokenizer_source *s, engine_error *error);
extern bool sentencepiece_build(tokenizer *t, const tokenizer_source *s, engine_error *error);
extern bool unigram_build(tokenizer *t, const tokenizer_source *s, engine_error *error);

/*
 * Merging, shared by both kinds of BPE (bpe_merge.c): a lookup says what two symbols
 * make, with what rank.
 */
typedef bool (*bpe_lookup) (const tokenizer *t, const char *piece, const bpe_symbol *left,
							const bpe_symbol *right, bpe_candidate *out);

/* Text in GPT-2's alphabet of bytes to the bytes; text that is not written in it stays as it is.
 * false: out of memory. */
extern bool byte_alphabet_decode(const char *text, size_t length, text_buffer *out);

/*
 * No merge crosses the border between a character and U+2581 when no token holds that
 * character's last byte just before U+2581: such borders cut a long text into words. The
 * end of the segment that begins at start.
 */
extern size_t bpe_segment_end(const tokenizer *t, const char *piece, size_t start, size_t length);
extern bool bpe_add_symbol(tokenizer_run *run, int32_t id, size_t start, size_t length);
extern bool bpe_merge_all(tokenizer_run *run, const char *piece, bpe_lookup lookup);

#endif							/* RAG_ENGINE_TOKENIZER_INTERNAL_H */
