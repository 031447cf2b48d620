/*
 * bpe.c: BPE by a list of merges, over bytes (GPT-2, Llama 3, SmolLM) or over characters
 * with byte fallback (Llama 2 and Gemma as Hugging Face writes them).
 */
#include "engine/tokenizer_internal.h"
#include "engine/unicode.h"

static uint32_t
pair_slot(const tokenizer *t, int32_t left, int32_t right)
{
	return hash_mix((uint32_t) left * 0x9E3779B1u ^ (uint32_t) right) & t->merges_mask;
}

static bool
lookup_pair(const tokenizer *t, const char *piece, const bpe_symbol *left,
			const bpe_symbol *right, bpe_candidate *out)
{
	(void) piece;
	for (uint32_t at = pair_slot(t, left->id, right->id); t->merges[at].left >= 0;
		 at = (at + 1) & t->merges_mask)
	{
		const merge_entry *m = &t->merges[at];

		if (m->left == left->id && m->right == right->id)
		{
			out->rank = m->rank;
			out->id = m->id;
			return true;
		}
	}
	return false;
}

static bool
finish(tokenizer_run *run, const char *piece)
{
	if (!bpe_merge_all(run, piece, lookup_pair))
		return false;
	for (int32_t i = run->n_symbols > 0 ? 0 : -1; i >= 0; i = run->symbols[i].next)
	{
		if (!tokenizer_run_emit(run, run->symbols[i].id))
			return false;
	}
	run->n_symbols = 0;
	return true;
}

static bool
encode_bytes(tokenizer_run *run, const char *piece, size_t length)
{
	const tokenizer *t = run->t;

	if (t->whole_words)
	{
		int32_t		id = vocabulary_find(&t->words, piece, length);

		if (id >= 0)
			return tokenizer_run_emit(run, id);
	}
	run->n_symbols = 0;
	for (size_t i = 0; i < length; i++)
	{
		int32_t		id = t->byte_ids[(unsigned char) piece[i]];

		/* a byte that the vocabulary lacks is dropped, as the reference does */
		if (id < 0)
			id = t->unknown;
		if (id >= 0 && !bpe_add_symbol(run, id, i, 1))
			return false;
	}
	return finish(run, piece);
}

/* A character that is no token: its bytes, or the unknown token (one for neighbours). */
static bool
add_missing(tokenizer_run *run, const char *piece, size_t at, int n)
{
	const tokenizer *t = run->t;
	bool		bytes = t->byte_fallback;

	for (int i = 0; i < n && bytes; i++)
		bytes = t->byte_ids[(unsigned char) piece[at + (size_t) i]] >= 0;
	for (int i = 0; i < n && bytes; i++)
	{
		if (!bpe_add_symbol(run, t->byte_ids[(unsigned char) piece[at + (size_t) i]],
							at + (size_t) i, 1))
			return false;
	}
	if (bytes || t->unknown < 0)
		return true;
	if (t->fuse_unknown && run->n_symbols > 0 &&
		run->symbols[run->n_symbols - 1].id == t->unknown)
	{
		run->symbols[run->n_symbols - 1].length += (uint32_t) n;
		return true;
	}
	return bpe_add_symbol(run, t->unknown, at, (size_t) n);
}

static bool
encode_segment(tokenizer_run *run, const char *piece, size_t length)
{
	size_t		i = 0;

	run->n_symbols = 0;
	while (i < length)
	{
		int			n = utf8_length((unsigned char) piece[i]);
		int32_t		id = vocabulary_find(&run->t->words, piece + i, (size_t) n);

		if (id >= 0 ? !bpe_add_symbol(run, id, i, (size_t) n) : !add_missing(run, piece, i, n))
			return false;
		i += (size_t) n;
	}
	return finish(run, piece);
}

static bool
encode_characters(tokenizer_run *run, const char *piece, size_t length)
{
	const tokenizer *t = run->t;
	size_t		end;

	if (t->whole_words)
	{
		int32_t		id = vocabulary_find(&t->words, piece, length);

		if (id >= 0)
			return tokenizer_run_emit(run, id);
	}
	for (size_t start = 0; start < length; start = end)
	{
		end = bpe_segment_end(t, piece, start, length);
		if (!encode_segment(run, piece + start, end - start))
			return false;
	}
	return true;
}

/*
 * Cutting is exact only if symbols are the characters of the text: where one is dropped,
 * its neighbours meet; where it is bytes or unknown, its text is not what merges.
 */
static bool
may_cut(const tokenizer *t, const tokenizer_source *s)
{
	bool		bytes = t->byte_fallback;

	for (int i = 0; i < 256; i++)
		bytes = bytes && t->byte_ids[i] >= 0;
	for (uint32_t i = 0; i <= t->merges_mask; i++)
	{
		int32_t		left = t->merges[i].left;

		if (left >= 0 && (left == t->unknown || (t->flags[left] & TOKEN_IS_BYTE)))
			return false;
	}
	return s->pre.kind == PRETOKENIZE_WHOLE && (bytes || t->unknown >= 0) &&
		vocabulary_find(&t->words, METASPACE, METASPACE_LENGTH) >= 0;
}

static bool
add_merge(tokenizer *t, int32_t left, int32_t right, uint32_t rank, int32_t id,
		  engine_error *error)
{
	uint32_t	at = pair_slot(t, left, right);
	int			probes = 0;

	for (; t->merges[at].left >= 0; at = (at + 1) & t->merges_mask)
	{
		if (t->merges[at].left == left && t->merges[at].right == right)
			break;
		if (++probes > VOCABULARY_MAX_PROBES)
			return engine_fail(error, ENGINE_CORRUPT, "the merges are made to collide");
	}
	t->merges[at] = (merge_entry) {left, right, rank, id};
	return true;
}

/* Writes a token's text as it is in the tables: bytes where the file has GPT-2's alphabet. */
static bool
resolve(const tokenizer *t, const char *text, size_t length, text_buffer *scratch, int32_t *id)
{
	scratch->used = 0;
	if (t->byte_level ? !byte_alphabet_decode(text, length, scratch)
		: !text_append(scratch, text, length))
		return false;
	*id = vocabulary_find(&t->words, scratch->data, scratch->used);
	return true;
}

static bool
add_source_merge(tokenizer *t, const source_merge *m, uint32_t rank, text_buffer scratch[2],
				 engine_error *error)
{
	int32_t		left;
	int32_t		right;
	int32_t		id;

	if (m->left_length == 0 || m->right_length == 0)
		return engine_fail(error, ENGINE_CORRUPT, "merge %u has an empty side", rank);
	if (!resolve(t, m->left, m->left_length, &scratch[0], &left) ||
		!resolve(t, m->right, m->right_length, &scratch[1], &right) ||
		!text_append(&scratch[0], scratch[1].data, scratch[1].used))
		return engine_fail_memory(error, "a list of merges");
	id = vocabulary_find(&t->words, scratch[0].data, scratch[0].used);
	if (left < 0 || right < 0 || id < 0)
		return engine_fail(error, ENGINE_CORRUPT,
						   "merge %u (\"%.*s\" and \"%.*s\") is not made of tokens", rank,
						   (int) (m->left_length < 64 ? m->left_length : 64), m->left,
						   (int) (m->right_length < 64 ? m->right_length : 64), m->right);
	return add_merge(t, left, right, rank, id, error);
}

bool
bpe_build(tokenizer *t, const tokenizer_source *s, engine_error *error)
{
	text_buffer scratch[2] = {{0}, {0}};
	uint32_t	size = 16;
	bool		done = true;

	if (s->n_merges > VOCABULARY_MAX_TOKENS)
		return engine_fail(error, ENGINE_UNSUPPORTED, "the tokenizer has %zu merges",
						   s->n_merges);
	while (size < 2 * s->n_merges)
		size *= 2;
	t->merges = malloc(size * sizeof(*t->merges));
	if (t->merges == NULL)
		return engine_fail_memory(error, "a list of merges");
	memset(t->merges, 0xFF, size * sizeof(*t->merges));
	t->merges_mask = size - 1;
	for (size_t i = 0; i < s->n_merges && done; i++)
		done = add_source_merge(t, &s->merges[i], (uint32_t) i, scratch, error);
	free(scratch[0].data);
	free(scratch[1].data);
	t->cuts = done && !t->byte_level && may_cut(t, s);
	t->encode_piece = t->byte_level ? encode_bytes : encode_characters;
	return done;
}
